"""Hypotheses against references, after a normaliser: which belong together, and the errors of each utterance."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from syn2real.errors import UserError
from syn2real.progress import say
from syn2real.speech.alignment import Alignment, Edit
from syn2real.speech.counts import Counted, CountRows, CountTable, ErrorCounts, ScoreUnit
from syn2real.speech.normalisation import Normaliser, blanks_marks, normaliser

if TYPE_CHECKING:
    from syn2real.speech.corpus import Corpus


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

    @cached_property
    def table(self) -> CountTable:
        """The counts as columns. Raises `UserError` for no utterances, and for an id given twice."""
        rows = CountRows()
        rows.extend(Counted(u.id, u.counts.columns, u.speaker, u.written) for u in self)
        return rows.table(self.normaliser, self.unit)

    @property
    def ids(self) -> list[str]:
        """The utterances' ids, in order."""
        return [utterance.id for utterance in self]

    def filter(self, keep: Callable[[ScoredUtterance], bool]) -> "Scores":
        """The utterances for which ``keep`` holds."""
        return Scores(tuple(filter(keep, self.utterances)), self.normaliser, self.unit)


def tell_of_marks(clean: Normaliser, references: Iterable[str]) -> None:
    """Say, once, that ``clean`` blanks marks which are parts of words of these."""
    if clean.name == "basic" and any(map(blanks_marks, references)):
        _tell_of_marks()


@cache
def _tell_of_marks() -> None:
    say(
        "normaliser basic, as Whisper's own does, blanks the vowel signs and other marks of this script: words are "
        "split there and errors in them go unseen; unicode keeps them"
    )


def score(pairs: Iterable[Pair], normalise: Normaliser | str = "none", unit: ScoreUnit = "word") -> Scores:
    """Error counts of each pair after ``normalise`` on both sides, over words or characters (spaces included).

    Raises `UserError` for no pairs, an id given twice or an unknown normaliser.
    """
    clean = normaliser(normalise) if isinstance(normalise, str) else normalise
    rows = list(pairs)
    if not rows:
        raise UserError("nothing to score: there are no utterances")
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise UserError(f"utterance {row.id!r} is given twice; ids must be distinct")
        seen.add(row.id)
    tell_of_marks(clean, (row.reference for row in rows))
    return Scores(
        tuple(
            ScoredUtterance(
                row.id,
                ErrorCounts(*_aligned(clean(row.reference), clean(row.hypothesis), unit).counts, utterances=1),
                row.reference,
                row.hypothesis,
                row.speaker,
                row.domain,
                row.written,
            )
            for row in rows
        ),
        str(clean),
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
    return list(Alignment.of(reference.split(), hypothesis.split()).edits)


def pairs_of(corpus: "Corpus", hypotheses: Mapping[str, str]) -> list[Pair]:
    """The utterances of a corpus with what was heard in each, by id. Raises `KeyError` for one that was not heard."""
    return [Pair(u.id, u.text, hypotheses[u.id], u.speaker, u.domain) for u in corpus]


def _aligned(reference: str, hypothesis: str, unit: ScoreUnit) -> Alignment:
    return Alignment.of(*((reference.split(), hypothesis.split()) if unit == "word" else (reference, hypothesis)))


def _some(ids: list[str], shown: int = 3) -> str:
    listed = ", ".join(repr(name) for name in ids[:shown])
    return f"{len(ids)} ({listed}{', …' if len(ids) > shown else ''})"
