"""Word and character error rates as counts that add. A rate is taken once, from the sum, and never averaged."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from syn2real.errors import UserError
from syn2real.speech.normalisation import Normaliser, normaliser

if TYPE_CHECKING:
    from syn2real.speech.corpus import Corpus

ScoreUnit = Literal["word", "character"]
EditKind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True)
class Transcript:
    """What was said, or is thought to have been said, in one recording."""

    text: str
    speaker: str | None = None
    domain: str | None = None


@dataclass(frozen=True)
class Pair:
    """A reference and the hypothesis for the same recording."""

    id: str
    reference: str
    hypothesis: str
    speaker: str | None = None
    domain: str | None = None
    written: str | None = None  # the reference with all its readings, where it has several and `reference` is one


@dataclass(frozen=True)
class ErrorCounts:
    """How many words (or characters) were right, replaced, dropped and added. Add two, and divide last.

    What a recogniser invents where nothing was said (`empty_insertions`) has no reference to be measured
    against: it is kept apart and is part of neither `insertions`, `errors` nor `rate`.

    >>> (ErrorCounts(hits=3, deletions=1, utterances=1) + ErrorCounts(hits=4, utterances=1)).rate
    0.125
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    empty_insertions: int = 0
    utterances: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():  # not `asdict`, which copies and would be most of the time of a sum
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{name} must be a whole number of at least 0, not {value!r}")
        if self.insertions and not self.words:
            raise ValueError("insertions without reference words belong in empty_insertions")
        if not self.utterances and (self.words or self.empty_insertions):
            raise ValueError("counts need at least one utterance")

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        if not isinstance(other, ErrorCounts):
            return NotImplemented
        return ErrorCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def words(self) -> int:
        """Words (or characters) of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions, without those on empty references."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference word (or character); may exceed 1. Raises `UserError` when there is none."""
        if not self.words:
            raise UserError("no reference words: an error rate needs at least one reference that is not empty")
        return self.errors / self.words

    @property
    def match_error_rate(self) -> float:
        """Errors per word of the alignment, at most 1: MER (Morris et al., Interspeech 2004)."""
        return self.errors / (self.words + self.insertions) if self.words else 0.0

    @property
    def information_lost(self) -> float:
        """Share of word information lost, 1 − hits² / (reference words × hypothesis words): WIL (the same paper)."""
        heard = self.hits + self.substitutions + self.insertions
        return 1 - self.hits**2 / (self.words * heard) if self.words and heard else float(bool(self.words))


ZERO = ErrorCounts()


@dataclass(frozen=True)
class ScoredUtterance:
    """One pair as it was given, and its counts after normalisation."""

    id: str
    counts: ErrorCounts
    reference: str
    hypothesis: str
    speaker: str | None = None
    domain: str | None = None
    written: str | None = None  # as in `Pair`


@dataclass(frozen=True)
class Scores:
    """The counts of every utterance, in order, and how they were made."""

    utterances: tuple[ScoredUtterance, ...]
    normaliser: str  # name and versions
    unit: ScoreUnit = "word"

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[ScoredUtterance]:
        return iter(self.utterances)

    @cached_property
    def total(self) -> ErrorCounts:
        """The sum over all utterances."""
        columns = zip(*(vars(utterance.counts).values() for utterance in self), strict=True)
        return ErrorCounts(*map(sum, columns))  # checked once: adding one by one would take as long as aligning

    @property
    def rate(self) -> float:
        """Error rate of the whole. Raises `UserError` when no reference has a word."""
        return self.total.rate

    @property
    def sentence_error(self) -> float:
        """Share of utterances with any error, words on an empty reference included."""
        return sum(bool(u.counts.errors or u.counts.empty_insertions) for u in self) / len(self)

    @property
    def ids(self) -> list[str]:
        """The utterances' ids, in order."""
        return [utterance.id for utterance in self]

    @property
    def domains(self) -> dict[str, "Scores"]:
        """The scores of each domain that is named, sorted by name."""
        return self.by(lambda utterance: utterance.domain)

    def by(self, group: Callable[[ScoredUtterance], str | None]) -> dict[str, "Scores"]:
        """The scores of each group that is named, sorted by name."""
        members: dict[str, list[ScoredUtterance]] = {}
        for utterance in self:
            if (name := group(utterance)) is not None:
                members.setdefault(name, []).append(utterance)
        return {name: Scores(tuple(members[name]), self.normaliser, self.unit) for name in sorted(members)}

    def filter(self, keep: Callable[[ScoredUtterance], bool]) -> "Scores":
        """The utterances for which ``keep`` holds."""
        return Scores(tuple(filter(keep, self.utterances)), self.normaliser, self.unit)


class Edit(NamedTuple):
    """One step from the reference to the hypothesis; ``None`` where that side has no word."""

    op: EditKind
    reference: str | None
    hypothesis: str | None


def score(pairs: Iterable[Pair], normalise: Normaliser | str = "none", unit: ScoreUnit = "word") -> Scores:
    """Error counts of each pair after ``normalise`` on both sides, over words or characters (spaces included).

    Raises `UserError` for no pairs, an id given twice or an unknown normaliser.
    """
    import jiwer

    normalise = normaliser(normalise) if isinstance(normalise, str) else normalise
    rows = list(pairs)
    if not rows:
        raise UserError("nothing to score: there are no utterances")
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise UserError(f"utterance {row.id!r} is given twice; ids must be distinct")
        seen.add(row.id)
    align = jiwer.process_words if unit == "word" else jiwer.process_characters
    aligned = align([normalise(row.reference) for row in rows], [normalise(row.hypothesis) for row in rows])
    return Scores(
        tuple(
            ScoredUtterance(
                row.id,
                _counts(chunks, bool(reference)),
                row.reference,
                row.hypothesis,
                row.speaker,
                row.domain,
                row.written,
            )
            for row, chunks, reference in zip(rows, aligned.alignments, aligned.references, strict=True)
        ),
        str(normalise),
        unit,
    )


def pair_up(references: Mapping[str, Transcript | str], hypotheses: Mapping[str, Transcript | str]) -> list[Pair]:
    """References and hypotheses joined by id, in the references' order; speakers and domains are the references'.

    Raises `UserError` naming a few ids that only one side has: scoring a part would flatter whoever left out the rest.
    """
    missing = [name for name in references if name not in hypotheses]
    extra = [name for name in hypotheses if name not in references]
    if missing or extra:
        parts = [f"{_some(missing)} without a hypothesis"] if missing else []
        parts += [f"{_some(extra)} without a reference"] if extra else []
        raise UserError(f"references and hypotheses have different ids: {'; '.join(parts)}")
    pairs = []
    for name, given in references.items():
        reference = given if isinstance(given, Transcript) else Transcript(given)
        answer = hypotheses[name]
        hypothesis = answer.text if isinstance(answer, Transcript) else answer
        pairs.append(Pair(name, reference.text, hypothesis, reference.speaker, reference.domain))
    return pairs


def alignment(reference: str, hypothesis: str) -> list[Edit]:
    """Word by word how the hypothesis differs, for a reader. Normalise first if case should not count.

    >>> [edit.op for edit in alignment("a red kite", "a kite flies")]
    ['equal', 'substitute', 'substitute']
    """
    (edits,) = alignments([" ".join(reference.split())], [" ".join(hypothesis.split())])
    return edits


def alignments(references: Sequence[str], hypotheses: Sequence[str]) -> Iterator[list[Edit]]:
    """`alignment` of many texts, their words separated by single spaces."""
    import jiwer

    if not references:
        return
    aligned = jiwer.process_words(list(references), list(hypotheses))
    for words, answer, chunks in zip(aligned.references, aligned.hypotheses, aligned.alignments, strict=True):
        edits = []
        for chunk in chunks:
            said = words[chunk.ref_start_idx : chunk.ref_end_idx]
            heard = answer[chunk.hyp_start_idx : chunk.hyp_end_idx]
            for index in range(max(len(said), len(heard))):
                op = cast(EditKind, chunk.type)
                edits.append(Edit(op, said[index] if said else None, heard[index] if heard else None))
        yield edits


def pairs_of(corpus: "Corpus", hypotheses: Mapping[str, str]) -> list[Pair]:
    """The utterances of a corpus with what was heard in each, by id. Raises `KeyError` for one that was not heard."""
    return [Pair(u.id, u.text, hypotheses[u.id], u.speaker, u.domain) for u in corpus]


def _counts(chunks: Iterable[Any], has_reference: bool) -> ErrorCounts:
    found = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
    for chunk in chunks:
        inserted = chunk.type == "insert"
        start, end = (chunk.hyp_start_idx, chunk.hyp_end_idx) if inserted else (chunk.ref_start_idx, chunk.ref_end_idx)
        found[chunk.type] += end - start
    added = found["insert"]
    return ErrorCounts(
        hits=found["equal"],
        substitutions=found["substitute"],
        deletions=found["delete"],
        insertions=added if has_reference else 0,
        empty_insertions=0 if has_reference else added,
        utterances=1,
    )


def _some(ids: list[str], shown: int = 3) -> str:
    listed = ", ".join(repr(name) for name in ids[:shown])
    return f"{len(ids)} ({listed}{', …' if len(ids) > shown else ''})"
