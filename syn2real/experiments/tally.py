"""Errors of many systems in many cells, counted once by what the bootstrap draws, then pooled at will.

A cell is one target heard with one seed. A speaker who occurs in several targets' recordings, and in all of them
again for every seed, is one unit: drawing copies apart would make every interval too narrow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from syn2real.errors import UserError
from syn2real.resampling import resample
from syn2real.speech.counts import ZERO, ErrorCounts
from syn2real.speech.scoring import Scores
from syn2real.speech.statistics import Replicates, Resampled, matched, resampled_unit, unit_of


class Cell(NamedTuple):
    """One target, heard with models of one seed."""

    target: str
    seed: int


@dataclass(frozen=True, eq=False)
class Pool:
    """Systems over the same cells: their rates, and those of every bootstrap draw, summed by target.

    ``errors`` is float64 of shape (1 + draws, targets, systems) and ``words`` of shape (1 + draws, targets): the
    recordings as they are, then the draws.
    """

    targets: list[str]
    systems: dict[str, int]
    errors: np.ndarray
    words: np.ndarray
    present: np.ndarray  # units with words, by target
    unit: Resampled
    units: int

    def micro(self, system: str) -> Replicates:
        """Errors of all targets over words of all targets."""
        return self._replicates(_ratio(self.errors[:, :, self.systems[system]].sum(axis=1), self.words.sum(axis=1)))

    def macro(self, system: str) -> Replicates:
        """Mean of the targets' rates; in a draw that misses a target altogether, the mean of the others."""
        rates = _ratio(self.errors[:, :, self.systems[system]], self.words)
        known = ~np.isnan(rates)
        return self._replicates(_ratio(np.where(known, rates, 0).sum(axis=1), known.sum(axis=1)))

    def domain(self, system: str, target: str) -> Replicates:
        """The rate on one target."""
        index = self.targets.index(target)
        return self._replicates(_ratio(self.errors[:, index, self.systems[system]], self.words[:, index]))

    def _replicates(self, rates: np.ndarray) -> Replicates:
        return Replicates(float(rates[0]), rates[1:], self.unit, self.units)


class Tally:
    """Errors and reference words: int64 of shapes (units, cells, systems) and (units, cells).

    ``heard`` maps (system, cell) to scores; a system may miss cells. Raises `UserError` when two systems of a cell, or
    two seeds of a target, were not scored on the same recordings, when a target has no words, or when there are fewer
    than two units to draw.
    """

    def __init__(self, heard: Mapping[tuple[str, Cell], Scores], draws: int, seed: int = 0) -> None:
        self.draws, self.seed = draws, seed
        self.systems = list(dict.fromkeys(system for system, _ in heard))
        self.cells = list(dict.fromkeys(cell for _, cell in heard))
        self.scores = _aligned(heard)
        self._pools: dict[tuple[Cell, ...], Pool] = {}
        self._totals: dict[tuple[str, Cell], ErrorCounts] = {}
        self._joined: dict[tuple[str, tuple[Cell, ...]], Scores] = {}
        self._count()

    def cells_of(self, *systems: str) -> list[Cell]:
        """The cells in which all these systems were heard."""
        return [cell for cell in self.cells if all((system, cell) in self.scores for system in systems)]

    def pool(self, *systems: str) -> Pool:
        """All that can be pooled over the cells these systems have in common; of the same draws as any other pool.

        Holds every system that was heard in all of those cells. Raises ``ValueError`` when there is none in common.
        """
        cells = tuple(self.cells_of(*systems))
        if not cells:
            raise ValueError(f"no cell in which {' and '.join(systems)} were both heard")
        if cells not in self._pools:
            self._pools[cells] = self._pool(cells)
        return self._pools[cells]

    def total(self, system: str, cells: Iterable[Cell]) -> ErrorCounts:
        """The system's counts, summed over these cells."""
        for cell in (cells := list(cells)):
            if (system, cell) not in self._totals:
                self._totals[system, cell] = self.scores[system, cell].total
        return sum((self._totals[system, cell] for cell in cells), ZERO)

    def gap(self, a: str, b: str) -> np.ndarray:
        """Errors of a minus errors of b by unit, over the cells both have: int64 of shape (units,)."""
        columns = [self.cells.index(cell) for cell in self.cells_of(a, b)]
        errors = self.errors[:, columns].sum(axis=1)
        return errors[:, self.systems.index(a)] - errors[:, self.systems.index(b)]

    def joined(self, system: str, cells: Iterable[Cell]) -> Scores:
        """The system's utterances in these cells as one set of scores, their ids led by target and seed."""
        key = system, tuple(cells)
        if key not in self._joined:
            rows = [replace(u, id=f"{c.target}/{c.seed}/{u.id}") for c in key[1] for u in self.scores[system, c]]
            first = self.scores[system, key[1][0]]
            self._joined[key] = Scores(tuple(rows), first.normaliser, first.unit)
        return self._joined[key]

    @cached_property
    def unit(self) -> Resampled:
        """What is drawn."""
        return resampled_unit(utterance for scores in self.scores.values() for utterance in scores)

    def _count(self) -> None:
        rows = {key: [u for u in scores if u.counts.words] for key, scores in self.scores.items()}
        # Utterances without reference words weigh nothing.
        names = sorted({unit_of(u, self.unit) for found in rows.values() for u in found})
        if len(names) < 2:
            raise UserError(f"a bootstrap needs at least 2 utterances with reference words, not {len(names)}")
        place = {name: index for index, name in enumerate(names)}
        self.errors = np.zeros((len(names), len(self.cells), len(self.systems)), dtype=np.int64)
        self.words = np.zeros((len(names), len(self.cells)), dtype=np.int64)
        column = {cell: index for index, cell in enumerate(self.cells)}
        layer = {system: index for index, system in enumerate(self.systems)}
        counted: set[Cell] = set()
        for (system, cell), found in rows.items():
            units = [place[unit_of(u, self.unit)] for u in found]
            np.add.at(self.errors[:, column[cell], layer[system]], units, [u.counts.errors for u in found])
            if cell not in counted:
                np.add.at(self.words[:, column[cell]], units, [u.counts.words for u in found])
                counted.add(cell)
        for cell, words in zip(self.cells, self.words.sum(axis=0), strict=True):
            if not words:
                raise UserError(f"{cell.target}: none of its references has a word; there is nothing to score")

    def _pool(self, cells: tuple[Cell, ...]) -> Pool:
        systems = [name for name in self.systems if all((name, cell) in self.scores for cell in cells)]
        targets = list(dict.fromkeys(cell.target for cell in cells))
        layers = [self.systems.index(name) for name in systems]
        by_target = [[self.cells.index(cell) for cell in cells if cell.target == target] for target in targets]
        errors = np.stack([self.errors[:, at][:, :, layers].sum(axis=1) for at in by_target], axis=1)
        words = np.stack([self.words[:, at].sum(axis=1) for at in by_target], axis=1)
        counts = np.concatenate([errors, words[:, :, None]], axis=2)
        sums = np.concatenate([counts.sum(axis=0)[None], resample(counts, self.draws, self.seed)])
        return Pool(
            targets,
            {name: index for index, name in enumerate(systems)},
            sums[:, :, :-1],
            sums[:, :, -1],
            (words > 0).sum(axis=0),
            self.unit,
            len(self.words),
        )


def _aligned(heard: Mapping[tuple[str, Cell], Scores]) -> dict[tuple[str, Cell], Scores]:
    """The same scores, those of one target all in one order."""
    first: dict[str, Scores] = {}
    aligned = {}
    for (system, cell), scores in heard.items():
        try:
            aligned[system, cell] = matched(first.setdefault(cell.target, scores), scores)
        except UserError as error:
            raise UserError(f"{system} on {cell.target}, seed {cell.seed}: {error}") from error
    return aligned


def _ratio(errors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Errors by words, NaN where there are none; ``words`` may lack the last axes of ``errors``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(words > 0, errors / words, np.nan)
