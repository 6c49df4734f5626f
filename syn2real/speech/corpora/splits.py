"""Train, dev and test sets that share no speaker, or no sentence, noted in each utterance's field ``split``."""

from dataclasses import dataclass, replace
from typing import Literal

from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus, sentence_key

NAMES = ("train", "dev", "test")


@dataclass(frozen=True)
class Splits:
    """The corpus with its field ``split``, and how many utterances were left out for saying what another set says."""

    corpus: Corpus
    left_out: int

    def part(self, name: str) -> Corpus:
        """The utterances of one split."""
        return self.corpus.filter(lambda utterance: utterance.extra.get("split") == name)

    def shared_sentences(self) -> int:
        """How many of the sentences in dev and test are in train too."""
        heard = {sentence_key(u.text) for u in self.part("train")}
        return len({sentence_key(u.text) for name in ("dev", "test") for u in self.part(name)} & heard)


def split_corpus(
    corpus: Corpus,
    dev: float,
    test: float,
    *,
    by: Literal["speaker", "text"] = "speaker",
    unseen: bool = False,
    seed: int = 0,
) -> Splits:
    """Note a split in every utterance: ``dev`` and ``test`` are fractions of the distinct speakers or sentences.

    The order of the utterances is kept. With ``unseen``, training utterances whose sentence is also in dev or test
    are left out, so that by ``speaker`` both are new. Raises `UserError` for fractions that leave a set empty, and by
    ``speaker`` when an utterance has none.
    """
    if not (0 <= dev < 1 and 0 <= test < 1 and 0 < dev + test < 1):
        raise UserError(f"dev {dev:g} and test {test:g} must be fractions whose sum is above 0 and below 1")
    if by == "speaker" and (unknown := sum(not utterance.speaker for utterance in corpus)):
        raise UserError(f"{unknown} of {len(corpus)} utterances have no speaker; split them by text")
    tested, others = corpus.split(test, seed, by)
    # Of one order: the next units are dev, so that a larger dev set does not change test.
    developed, trained = others.split(dev / (1 - test), seed, by)
    names = {u.id: name for name, part in zip(NAMES, (trained, developed, tested), strict=True) for u in part}
    for name, fraction in (("train", 1.0), ("dev", dev), ("test", test)):
        if fraction and name not in names.values():
            units = len({u.speaker if by == "speaker" else sentence_key(u.text) for u in corpus})
            raise UserError(f"{name} would be empty: there are {units} distinct units ({by}) to divide")
    said = {sentence_key(u.text) for u in (*tested, *developed)} if unseen else set()
    kept = [u for u in corpus if names[u.id] != "train" or sentence_key(u.text) not in said]
    if unseen and not any(names[u.id] == "train" for u in kept):
        raise UserError("every training sentence is also in dev or test; split by text")
    marked = Corpus.of(replace(u, extra={**u.extra, "split": names[u.id]}) for u in kept)
    return Splits(marked, len(corpus) - len(kept))
