"""Every system against every other, over all targets and seeds of a grid, in numbers that can be defended.

Within each model, set of engines and window, errors are pooled over targets and seeds. All intervals and tests of
such a group rest on the same draws of speakers. p-values are corrected by Holm within the family they are shown in:
all systems against the baseline, and separately all pairs. Beside the bootstrap's p stands that of flipping speakers'
signs (``flip_p``), which holds for few speakers too. Systems whose λ the test chose are no claims: they are a family
of their own, and make no other p larger.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import stdev
from typing import Any, Protocol

import numpy as np

from syn2real.errors import UserError
from syn2real.experiments.grid_recipe import INFORMED
from syn2real.experiments.tally import Cell, Pool, Tally
from syn2real.resampling import holm, sign_flips
from syn2real.speech.scoring import Pair, Scores, score
from syn2real.speech.statistics import PairedTest, Replicates, mapsswe, paired

BASELINE, HEADLINE, UNTOUCHED = "target-synthetic", "syn2real", "zero-shot"


class Evaluation(Protocol):
    """How the scores were made and are to be compared; a recipe's ``evaluation`` is one."""

    @property
    def normaliser(self) -> str:
        """Name of the normaliser."""

    @property
    def draws(self) -> int:
        """Bootstrap draws."""

    @property
    def level(self) -> float:
        """Level of confidence, between 0 and 1."""


@dataclass(frozen=True)
class Heard:
    """One system heard in one cell of the grid.

    A system that does not depend on the seed (zero-shot) is given once for every seed.
    """

    system: str
    target: str  # the domain that plays the target
    model: str
    engines: str
    seed: int
    window: str  # "short" or "full"; "whole" of a model that has none
    scores: Scores  # on the target's test recordings
    elsewhere: Scores | None = None  # on the other domains' test recordings
    scale: float | None = None  # λ

    @property
    def cell(self) -> Cell:
        """Where it was heard, within its group."""
        return Cell(self.target, self.seed)


def compare(
    heard: Sequence[Heard],
    *,
    baseline: str = BASELINE,
    headline: str = HEADLINE,
    repeated: str = "seed",
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Rates with intervals, relative improvements and tests of all systems, as a JSON object.

    What a `Heard` has as its seed is called ``repeated``: of a seed and a draw of sources, a draw.

    Systems that lack cells are compared with each other system on the cells both have, and say so (``missing``,
    ``complete``). Raises `UserError` for nothing to compare, a system given twice for a cell, or systems of a cell
    that were not scored on the same recordings.
    """
    if not heard:
        raise UserError("nothing to compare: no system was heard in any cell of the grid")
    groups: dict[tuple[str, str, str], list[Heard]] = {}
    seen: set[tuple[str, ...]] = set()
    for one in heard:
        place = (one.model, one.engines, one.window)
        name = (one.system, one.target, f"seed {one.seed}", *place)
        if name in seen:
            raise UserError(f"heard twice in one cell of the grid: {', '.join(name)}")
        seen.add(name)
        groups.setdefault(place, []).append(one)
    return {
        "baseline": baseline,
        "headline": headline,
        "repeated": repeated,
        "normaliser": heard[0].scores.normaliser,
        "level": evaluation.level,
        "draws": evaluation.draws,
        "groups": [
            {"model": model, "engines": engines, "window": window} | _Group(members, baseline, evaluation).record()
            for (model, engines, window), members in groups.items()
        ],
    }


class _Group:
    """Everything heard from one model with one set of engines in one window."""

    def __init__(self, heard: list[Heard], baseline: str, evaluation: Evaluation) -> None:
        self.heard, self.baseline, self.evaluation = heard, baseline, evaluation
        self.scales = {(one.system, one.cell): one.scale for one in heard if one.scale is not None}
        self.tally = Tally({(one.system, one.cell): one.scores for one in heard}, evaluation.draws)
        away = {(one.system, one.cell): one.elsewhere for one in heard if one.elsewhere is not None}
        self.elsewhere = Tally(away, evaluation.draws) if away else None

    def record(self) -> dict[str, Any]:
        cells = self.tally.cells
        return {
            "targets": list(dict.fromkeys(cell.target for cell in cells)),
            "seeds": sorted({cell.seed for cell in cells}),
            "cells": len(cells),
            "unit": self.tally.unit,
            "units": len(self.tally.words),
            "systems": self._systems(),
            "pairs": self._pairs(),
        }

    def _systems(self) -> list[dict[str, Any]]:
        against = {name: self._against(name) for name in self.tally.systems}
        self._flip([(row["micro"], name, self.baseline) for name, row in against.items() if row])
        for kind in ("micro", "macro"):
            _correct_apart([(row[kind], name) for name, row in against.items() if row])
        forgotten = {name: self._forgetting(name) for name in self.tally.systems}
        _correct_apart([(row["against"], name) for name, row in forgotten.items() if row and row["against"]])
        return [
            self._system(name) | {"against_baseline": against[name], "elsewhere": forgotten[name]}
            for name in self.tally.systems
        ]

    def _system(self, name: str) -> dict[str, Any]:
        members = [one for one in self.heard if one.system == name]
        pool = self.tally.pool(name)
        had = self.tally.cells_of(name)
        scales = [self.scales[name, cell] for cell in had if (name, cell) in self.scales]
        total = self.tally.total(name, had)
        return {
            "name": name,
            "cells": len(had),
            "missing": [cell._asdict() for cell in self.tally.cells if cell not in had],
            "scale_low": min(scales, default=None),
            "scale_high": max(scales, default=None),
            **_rate(pool.micro(name), self.evaluation.level, "wer"),
            **_rate(pool.macro(name), self.evaluation.level, "macro"),
            "cer": self._rescored(members, self.evaluation.normaliser, "character"),
            "wer_unnormalised": self._rescored(members, "none", "word"),
            "counts": asdict(total),
            "words": total.words,
            "seeds": self._seeds(name),
            "domains": [self._domain(name, target, pool) for target in pool.targets],
        }

    def _domain(self, name: str, target: str, pool: Pool) -> dict[str, Any]:
        cells = [cell for cell in self.tally.cells_of(name) if cell.target == target]
        total = self.tally.total(name, cells)
        test = None
        if name != self.baseline and (common := self._common(name)) and target in common.targets:
            test = paired(common.domain(name, target), common.domain(self.baseline, target), self.evaluation.level)
        units = int(pool.present[pool.targets.index(target)])
        rate = pool.domain(name, target)
        # Of a target where one speaker has all the words, every draw that has words has the same rate.
        bounds = _rate(rate, self.evaluation.level, "wer") if units > 1 else {"wer": rate.rate} | _NO_BOUNDS
        return {
            "target": target,
            **bounds,
            "units": units,
            "errors": total.errors,
            "words": total.words,
            "scales": [self.scales[name, cell] for cell in cells if (name, cell) in self.scales],
            "relative": test.relative if test else None,
            "relative_low": test.relative_low if test and units > 1 else None,
            "relative_high": test.relative_high if test and units > 1 else None,
        }

    def _seeds(self, name: str) -> dict[str, Any]:
        """The pooled rate of each seed, over the targets that every seed has."""
        cells = self.tally.cells_of(name)
        seeds = sorted({cell.seed for cell in cells})
        targets = [t for t in dict.fromkeys(cell.target for cell in cells) if all((t, s) in cells for s in seeds)]
        if not targets:
            return {"rates": {}, "low": None, "high": None, "sd": None}
        rates = {str(seed): self.tally.total(name, (Cell(target, seed) for target in targets)).rate for seed in seeds}
        values = list(rates.values())
        spread = stdev(values) if len(values) > 1 else None
        return {"rates": rates, "low": min(values), "high": max(values), "sd": spread}

    def _against(self, name: str) -> dict[str, Any] | None:
        """The tests against the baseline, pooled and as means over targets."""
        common = self._common(name)
        if name == self.baseline or common is None:
            return None
        return {
            "micro": _test(paired(common.micro(name), common.micro(self.baseline), self.evaluation.level)),
            "macro": _test(paired(common.macro(name), common.macro(self.baseline), self.evaluation.level)),
            **self._matched_pairs(name, self.baseline),
        }

    def _pairs(self) -> list[dict[str, Any]]:
        rows = []
        for a, b in combinations(self.tally.systems, 2):
            if not self.tally.cells_of(a, b):
                continue
            pool = self.tally.pool(a, b)
            test = _test(paired(pool.micro(a), pool.micro(b), self.evaluation.level))
            rows.append({"a": a, "b": b} | test | self._matched_pairs(a, b))
        self._flip([(row, row["a"], row["b"]) for row in rows])
        _correct_apart([(row, row["b"] if row["b"].endswith(INFORMED) else row["a"]) for row in rows])
        return rows

    def _flip(self, tests: list[tuple[dict[str, Any], str, str]]) -> None:
        """Give tests of one system against another the p-value that flipping the speakers' signs has."""
        if tests:
            gaps = np.stack([self.tally.gap(a, b) for _, a, b in tests], axis=1)
            for (test, _, _), p in zip(tests, sign_flips(gaps), strict=True):
                test["flip_p"] = float(p)

    def _matched_pairs(self, a: str, b: str) -> dict[str, Any]:
        """MAPSSWE on the first seed that both have: more seeds would count each utterance several times."""
        cells = self.tally.cells_of(a, b)
        seed = min(cell.seed for cell in cells)
        first = [cell for cell in cells if cell.seed == seed]
        left, right = (self.tally.joined(system, first) for system in (a, b))
        segments = sum(bool(utterance.counts.words) for utterance in left)
        return {
            "mapsswe_p": mapsswe(left, right).p if segments > 1 else None,
            "mapsswe_seed": seed,
            "cells": len(cells),
            "complete": len(cells) == len(self.tally.cells),
        }

    def _forgetting(self, name: str) -> dict[str, Any] | None:
        """The rate on domains that are not the target, and the test against the untouched model there."""
        if self.elsewhere is None or not self.elsewhere.cells_of(name):
            return None
        tally, level = self.elsewhere, self.evaluation.level
        cells = tally.cells_of(name)
        total = tally.total(name, cells)
        against = None
        if name != UNTOUCHED and tally.cells_of(name, UNTOUCHED):
            common = tally.pool(name, UNTOUCHED)
            against = _test(paired(common.micro(name), common.micro(UNTOUCHED), level))
        return {
            **_rate(tally.pool(name).micro(name), level, "wer"),
            "words": total.words,
            "errors": total.errors,
            "cells": len(cells),
            "against": against,
        }

    def _common(self, name: str) -> Pool | None:
        """The cells in which both this system and the baseline were heard, if there are any."""
        return self.tally.pool(name, self.baseline) if self.tally.cells_of(name, self.baseline) else None

    def _rescored(self, members: list[Heard], normaliser: str, unit: Any) -> float:
        """The members' transcripts scored in another way, each distinct one once."""
        times: dict[tuple[str, str], int] = {}
        for one in members:
            for row in one.scores:
                times[row.reference, row.hypothesis] = times.get((row.reference, row.hypothesis), 0) + 1
        pairs = [Pair(str(index), *texts) for index, texts in enumerate(times)]
        scored = score(pairs, normaliser, unit)
        errors, words = 0, 0
        for row, often in zip(scored, times.values(), strict=True):
            errors, words = errors + often * row.counts.errors, words + often * row.counts.words
        return errors / words


_NO_BOUNDS = {"ci_low": None, "ci_high": None}


def _rate(rate: Replicates, level: float, name: str) -> dict[str, Any]:
    """A rate and its bounds: ``wer`` has ``ci_low`` and ``ci_high``, any other name is part of its bounds' names."""
    interval = rate.interval(level)
    low, high = ("ci_low", "ci_high") if name == "wer" else (f"{name}_low", f"{name}_high")
    return {name: rate.rate, low: interval.low, high: interval.high}


def _test(test: PairedTest) -> dict[str, Any]:
    names = ("rate_a", "rate_b", "difference", "low", "high", "relative", "relative_low", "relative_high", "p")
    return {name: getattr(test, name) for name in names}


def _correct_apart(tests: Sequence[tuple[dict[str, Any], str]]) -> None:
    """Give every test, with the system it is of, its Holm-corrected p-values: those whose λ was chosen on labels in
    a family of their own."""
    _correct([test for test, system in tests if not system.endswith(INFORMED)])
    _correct([test for test, system in tests if system.endswith(INFORMED)])


def _correct(tests: Sequence[dict[str, Any]]) -> None:
    for name in ("p", "flip_p"):
        if all(name in test for test in tests):
            for test, p in zip(tests, holm([test[name] for test in tests]), strict=True):
                test[f"{name}_holm"] = p
