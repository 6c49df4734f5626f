"""Errors as counts that add, of one utterance or of many. A rate is taken once, from the sum, and never averaged."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from syn2real.errors import UserError

ScoreUnit = Literal["word", "character"]
Columns = tuple[
    int, int, int, int, int
]  # hits, substitutions, deletions, insertions, insertions where nothing was said


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
    def columns(self) -> "Columns":
        """All but the number of utterances."""
        return self.hits, self.substitutions, self.deletions, self.insertions, self.empty_insertions

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
        return error_rate(self.errors, self.words)

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


def error_rate(errors: int, words: int) -> float:
    """Errors per reference word (or character). Raises `UserError` where there is none."""
    if not words:
        raise UserError("no reference words: an error rate needs at least one reference that is not empty")
    return errors / words


@dataclass(frozen=True, eq=False)
class Labels:
    """A name for each utterance, or none: places in ``names``, −1 where there is none; int32 of shape (utterances,)."""

    names: tuple[str, ...]  # in the order in which they occur first
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class CountTable:
    """The counts of many utterances as columns, without their texts: some 60 bytes an utterance and its id.

    ``ids`` are strings and ``counts`` int32 of shape (utterances, 5), the first five of `ErrorCounts`. ``written`` is
    int64: 0, or a number that tells references with several readings apart.
    """

    ids: np.ndarray
    counts: np.ndarray
    speakers: Labels
    written: np.ndarray
    normaliser: str  # name and versions
    unit: ScoreUnit = "word"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def errors(self) -> np.ndarray:
        """Errors of each utterance: int64 of shape (utterances,)."""
        return self.counts[:, 1:4].sum(axis=1, dtype=np.int64)

    @cached_property
    def words(self) -> np.ndarray:
        """Reference words (or characters) of each utterance: int64 of shape (utterances,)."""
        return self.counts[:, :3].sum(axis=1, dtype=np.int64)

    @cached_property
    def total(self) -> ErrorCounts:
        """The sum over all utterances."""
        hits, substitutions, deletions, *inserted = map(int, self.counts.sum(axis=0, dtype=np.int64))
        return ErrorCounts(hits, substitutions, deletions, inserted[0], inserted[1], len(self))

    @property
    def rate(self) -> float:
        """Error rate of the whole. Raises `UserError` when no reference has a word."""
        return self.total.rate

    @property
    def sentence_error(self) -> float:
        """Share of utterances with any error, words on an empty reference included."""
        return int(self.counts[:, 1:].any(axis=1).sum()) / len(self)

    def take(self, rows: np.ndarray) -> "CountTable":
        """Some utterances, by their places or by a mask."""
        speakers = Labels(self.speakers.names, self.speakers.places[rows])
        return CountTable(self.ids[rows], self.counts[rows], speakers, self.written[rows], self.normaliser, self.unit)

    def by(self, labels: Labels) -> dict[str, "CountTable"]:
        """The utterances of each name, sorted by name."""
        order = np.argsort(labels.places, kind="stable")
        starts = np.searchsorted(labels.places[order], np.arange(len(labels.names) + 1))
        parts = {name: order[starts[place] : starts[place + 1]] for place, name in enumerate(labels.names)}
        return {name: self.take(parts[name]) for name in sorted(parts)}


class Counted(NamedTuple):
    """What is known of one utterance: a row of a `CountTable`."""

    id: str
    counts: Columns
    speaker: str | None = None
    written: str | None = None


class LabelRows:
    """Labels that grow."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._places = array("i")

    def append(self, name: str | None) -> None:
        """Add an utterance's."""
        self._places.append(-1 if name is None else self._names.setdefault(name, len(self._names)))

    def labels(self) -> Labels:
        """All that were added."""
        return Labels(tuple(self._names), np.array(self._places, dtype=np.int32))


class CountRows:
    """A table that grows, some rows at a time."""

    def __init__(self) -> None:
        self._ids: list[np.ndarray] = []
        self._counts = array("i")
        self._speakers = LabelRows()
        self._written = array("q")

    def extend(self, rows: Iterable[Counted]) -> None:
        """Add utterances."""
        ids = []
        for row in rows:
            ids.append(row.id)
            self._counts.extend(row.counts)
            self._speakers.append(row.speaker)
            self._written.append(0 if row.written is None else hash(row.written))
        self._ids.append(np.array(ids, dtype=np.dtypes.StringDType()))

    def table(self, normaliser: str, unit: ScoreUnit = "word") -> CountTable:
        """All that were added. Raises `UserError` for none, and for an id given twice."""
        if not sum(map(len, self._ids)):
            raise UserError("nothing to score: there are no utterances")
        ids = np.concatenate(self._ids)
        ordered = np.sort(ids)
        twice = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(twice):
            raise UserError(f"utterance {str(ordered[twice[0]])!r} is given twice; ids must be distinct")
        counts = np.array(self._counts, dtype=np.int32).reshape(len(ids), 5)
        written = np.array(self._written, dtype=np.int64)
        return CountTable(ids, counts, self._speakers.labels(), written, normaliser, unit)
