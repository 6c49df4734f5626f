"""Everything that is counted of a recogniser in one pass over its hypotheses, however many there are.

Of the texts nothing is kept but what is asked for: a `CountTable` has what rates, intervals and tests need.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Protocol

from syn2real.speech.alignment import Alignment, distance
from syn2real.speech.counts import Counted, CountRows, CountTable, LabelRows, Labels, error_rate
from syn2real.speech.normalisation import Normaliser
from syn2real.speech.scoring import Pair, tell_of_marks

CHUNK = 4096  # utterances in memory at a time


class Part(Protocol):
    """Something that is counted besides."""

    def add(self, pair: Pair, alignment: Alignment) -> None:
        """Count an utterance: as it was given, and its words after normalisation."""


@dataclass
class Sum:
    """Errors and length of all references that are not empty."""

    errors: int = 0
    length: int = 0

    def add(self, said: Sequence[str], heard: Sequence[str]) -> None:
        """Count one utterance's words or characters."""
        if said:
            self.errors += distance(said, heard)
            self.length += len(said)

    @property
    def rate(self) -> float:
        """The error rate. Raises `UserError` when all references are empty."""
        return error_rate(self.errors, self.length)


class Groups:
    """What each utterance belongs to."""

    def __init__(self, of: Callable[[Pair], str | None]) -> None:
        self._of = of
        self._rows = LabelRows()

    def add(self, pair: Pair, alignment: Alignment) -> None:
        """Note an utterance's."""
        self._rows.append(self._of(pair))

    @property
    def labels(self) -> Labels:
        """Those of all utterances."""
        return self._rows.labels()


class Worst:
    """The pairs with errors, those with most first, and the shorter before the longer: a number of them is kept."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.wrong = 0  # how many there are
        self._kept: list[tuple[int, int, int, Pair]] = []  # errors, words and place, to sort by

    def add(self, pair: Pair, alignment: Alignment) -> None:
        """Keep a pair if it is one of the worst so far."""
        _, *errors = alignment.counts
        if wrong := sum(errors):
            self.wrong += 1
            self._kept.append((-wrong, len(alignment.said), self.wrong, pair))
            if len(self._kept) > 2 * self.most + CHUNK:
                self._kept = sorted(self._kept)[: self.most]

    @property
    def pairs(self) -> list[Pair]:
        """The worst."""
        return [row[-1] for row in sorted(self._kept)[: self.most]]


class Survey:
    """Counts of one system, by word after normalisation, by character, and by word as the texts are."""

    def __init__(self, normalise: Callable[[str], str], *parts: Part) -> None:
        self.characters, self.unnormalised = Sum(), Sum()
        self._clean = normalise
        self._parts = parts
        self._rows = CountRows()

    def add(self, pairs: Iterable[Pair]) -> None:
        """Count some pairs."""
        rows = []
        for pair in pairs:
            said, heard = self._clean(pair.reference), self._clean(pair.hypothesis)
            alignment = Alignment.of(said.split(), heard.split())
            rows.append(Counted(pair.id, alignment.counts, pair.speaker, pair.written))
            self.characters.add(said, heard)
            self.unnormalised.add(pair.reference.split(), pair.hypothesis.split())
            for part in self._parts:
                part.add(pair, alignment)
        self._rows.extend(rows)

    def table(self, normaliser: str) -> CountTable:
        """What was counted by word. Raises `UserError` for no utterances, and for an id given twice."""
        return self._rows.table(normaliser)


def survey(systems: Sequence[tuple[Iterable[Pair], Sequence[Part]]], normalise: Normaliser) -> list[Survey]:
    """Survey systems side by side, each with its parts: references that they share are normalised once."""
    clean = lru_cache(4 * CHUNK)(normalise)
    surveys = [Survey(clean, *parts) for _, parts in systems]
    streams = [iter(pairs) for pairs, _ in systems]
    while any(chunks := [list(islice(stream, CHUNK)) for stream in streams]):
        tell_of_marks(normalise, (pair.reference for pair in chunks[0]))
        for found, chunk in zip(surveys, chunks, strict=True):
            found.add(chunk)
    return surveys
