"""Errors by word: which words are taken for which, and how many of the words that matter are found.

Rates over all words hide the few that a domain is about. Recall of such keywords (dishes, titles, names) is what its
owner wants to see.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from syn2real.errors import UserError
from syn2real.resampling import DRAWS, resample_alike
from syn2real.speech.alignment import Alignment
from syn2real.speech.counts import CountTable
from syn2real.speech.normalisation import Normaliser
from syn2real.speech.scoring import Pair
from syn2real.speech.statistics import Replicates, drawn_unit

RARE = 1e-3  # share of the words of a text
KINDS = 200_000  # different substitutions up to which all are remembered


class Confusions:
    """How often each word was taken for another, dropped and added.

    Of more than `KINDS` substitutions those that occurred once so far are forgotten from time to time: below that,
    counts are exact.
    """

    def __init__(self) -> None:
        self.substitutions: Counter[tuple[str, str]] = Counter()
        self.deletions: Counter[str] = Counter()
        self.insertions: Counter[str] = Counter()
        self._most = KINDS

    def add(self, pair: Pair, alignment: Alignment) -> None:
        """Count an utterance's."""
        for op, said, said_end, heard, heard_end in alignment.runs:
            if op == "substitute":
                words = zip(alignment.said[said:said_end], alignment.heard[heard:heard_end], strict=True)
                self.substitutions.update(words)
            elif op == "delete":
                self.deletions.update(alignment.said[said:said_end])
            elif op == "insert":
                self.insertions.update(alignment.heard[heard:heard_end])
        if len(self.substitutions) > self._most:
            self.substitutions = Counter({words: times for words, times in self.substitutions.items() if times > 1})
            self._most = max(KINDS, 2 * len(self.substitutions))


class WordRecall:
    """Of every word of the references, how often it was said and how often found."""

    def __init__(self) -> None:
        self.said: Counter[str] = Counter()
        self.found: Counter[str] = Counter()

    def add(self, pair: Pair, alignment: Alignment) -> None:
        """Count an utterance's words."""
        self.said.update(alignment.said)
        for op, said, said_end, _, _ in alignment.runs:
            if op == "equal":
                self.found.update(alignment.said[said:said_end])


def rare_and_missed(text: Iterable[str], heard: WordRecall, normalise: Normaliser) -> list[str]:
    """Words of a domain's text that are each at most `RARE` of it, or stand in it once, and that a recogniser found
    less than half as often as they were said; sorted. Raises `UserError` when there is none."""
    words = Counter(word for line in text for word in normalise(line).split())
    often = max(1, RARE * words.total())
    missed = sorted(
        word for word, times in words.items() if times <= often and 2 * heard.found[word] < heard.said[word]
    )
    if not missed:
        raise UserError("the other system misses no rare word of the text that is said here; name words by --keywords")
    return missed


@dataclass(frozen=True)
class KeywordCount:
    """How often a keyword was said, was found where it was said, and was heard where it was not."""

    keyword: str
    said: int
    found: int
    invented: int

    @property
    def recall(self) -> float | None:
        """Share of those said that were found."""
        return self.found / self.said if self.said else None

    @property
    def precision(self) -> float | None:
        """Share of those heard that were said."""
        heard = self.found + self.invented
        return self.found / heard if heard else None


@dataclass(frozen=True)
class KeywordRecall:
    """Keywords one by one, those said most first, and all together with a bootstrap interval by speaker."""

    words: tuple[KeywordCount, ...]
    low: float | None
    high: float | None

    @property
    def total(self) -> KeywordCount:
        """All keywords together."""
        sums = (sum(getattr(word, name) for word in self.words) for name in ("said", "found", "invented"))
        return KeywordCount("all", *sums)


class Keywords:
    """How many of the keywords (words or phrases) said were found; a phrase is, when all its words are, in one piece.

    Keywords go through the normaliser too.
    """

    def __init__(self, keywords: Iterable[str], normalise: Normaliser) -> None:
        self._phrases = {phrase: phrase.split() for phrase in dict.fromkeys(map(normalise, keywords)) if phrase}
        self._by_first: dict[str, list[str]] = {}
        for phrase, words in self._phrases.items():
            self._by_first.setdefault(words[0], []).append(phrase)
        self._said, self._found, self._heard = Counter[str](), Counter[str](), Counter[str]()
        self._tallies = array("i")  # of each utterance how many were said, and how many found

    def add(self, pair: Pair, alignment: Alignment) -> None:
        """Count an utterance's."""
        said = found = 0
        for place, phrase in self._occurrences(alignment.said):
            matched = alignment.places[place : place + len(self._phrases[phrase])]
            start = matched[0]
            whole = start is not None and matched == list(range(start, start + len(matched)))
            self._said[phrase] += 1
            self._found[phrase] += whole
            said, found = said + 1, found + whole
        self._heard.update(phrase for _, phrase in self._occurrences(alignment.heard))
        self._tallies.extend((said, found))

    def recall(self, scores: CountTable, level: float = 0.95, draws: int = DRAWS) -> KeywordRecall:
        """All that was counted, of the utterances of ``scores``. The interval draws what the error rate's does; there
        is none where only one of them said a keyword.

        Raises `UserError` when no keyword is said in the references.
        """
        said, found, heard = self._said, self._found, self._heard
        if not said:
            raise UserError("none of the keywords is said in the references; are they spelt as the references are?")
        counts = tuple(
            KeywordCount(phrase, said[phrase], found[phrase], max(0, heard[phrase] - found[phrase]))
            for phrase in self._phrases
            if said[phrase] or heard[phrase]
        )
        words = tuple(sorted(counts, key=lambda count: (-count.said, count.keyword)))
        units = np.array(self._tallies, dtype=np.int64).reshape(-1, 2)[scores.words > 0]
        voices, unit = scores.speakers.places[scores.words > 0], drawn_unit(scores)
        if unit == "speaker":
            units = np.stack([np.bincount(voices, column) for column in units.T], axis=1)
        if np.count_nonzero(units[:, 0]) < 2:
            return KeywordRecall(words, None, None)
        sums = resample_alike(units, draws)
        with np.errstate(invalid="ignore"):  # 0 / 0, where nobody drawn said a keyword
            drawn = sums[:, 1] / sums[:, 0]
        interval = Replicates(found.total() / said.total(), drawn, unit, len(units)).interval(level)
        return KeywordRecall(words, interval.low, interval.high)

    def _occurrences(self, words: Sequence[str]) -> Iterator[tuple[int, str]]:
        for place, word in enumerate(words):
            for phrase in self._by_first.get(word, ()):
                if words[place : place + len(self._phrases[phrase])] == self._phrases[phrase]:
                    yield place, phrase
