"""Reference against hypothesis with the fewest errors, as jiwer finds them: both rest on rapidfuzz's edit distance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

from syn2real.speech.counts import Columns

EditKind = Literal["equal", "substitute", "delete", "insert"]
_KINDS: dict[str, EditKind] = {"equal": "equal", "replace": "substitute", "delete": "delete", "insert": "insert"}


class Run(NamedTuple):
    """A stretch that is right or wrong in one way: from where to where on each side."""

    op: EditKind
    said: int
    said_end: int
    heard: int
    heard_end: int


class Edit(NamedTuple):
    """One step from the reference to the hypothesis; ``None`` where that side has no word."""

    op: EditKind
    reference: str | None
    hypothesis: str | None


@dataclass(frozen=True)
class Alignment:
    """The words (or characters) of both sides, and which stands against which."""

    said: Sequence[str]
    heard: Sequence[str]
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, said: Sequence[str], heard: Sequence[str]) -> "Alignment":
        """Align lists of words, or strings by character."""
        if said == heard:  # as most are, and faster seen than aligned
            return cls(said, heard, (Run("equal", 0, len(said), 0, len(heard)),) if said else ())
        steps = Levenshtein.opcodes(said, heard)
        runs = (Run(_KINDS[s.tag], s.src_start, s.src_end, s.dest_start, s.dest_end) for s in steps)
        return cls(said, heard, tuple(runs))

    @property
    def counts(self) -> Columns:
        """How many of each kind."""
        hits = substitutions = deletions = insertions = 0
        for op, said, said_end, heard, heard_end in self.runs:
            if op == "equal":
                hits += said_end - said
            elif op == "substitute":
                substitutions += said_end - said
            elif op == "delete":
                deletions += said_end - said
            else:
                insertions += heard_end - heard
        return (hits, substitutions, deletions, insertions, 0) if self.said else (0, 0, 0, 0, insertions)

    @property
    def edits(self) -> Iterator[Edit]:
        """Word by word."""
        for op, said, said_end, heard, heard_end in self.runs:
            for index in range(max(said_end - said, heard_end - heard)):
                yield Edit(
                    op,
                    self.said[said + index] if op != "insert" else None,
                    self.heard[heard + index] if op != "delete" else None,
                )

    @cached_property
    def places(self) -> list[int | None]:
        """For each word of the reference its place in the hypothesis, where it was heard."""
        found: list[int | None] = [None] * len(self.said)
        for op, said, said_end, heard, heard_end in self.runs:
            if op == "equal":
                found[said:said_end] = range(heard, heard_end)
        return found


def distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest errors between lists of words, or between strings by character."""
    return int(Levenshtein.distance(said, heard))
