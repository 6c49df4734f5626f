"""How far to trust an error rate: bootstrap intervals, and two tests of whether one system beats another.

The bootstrap draws whole speakers where they are known (Bisani & Ney, ICASSP 2004): clips of one voice err
together, and drawing them one by one would make the interval too narrow. MAPSSWE (Gillick & Cox, ICASSP 1989)
is the second opinion, with each utterance as a segment. Results do not depend on the order of the utterances.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from syn2real.errors import UserError
from syn2real.speech.scoring import ScoredUtterance, Scores

Resampled = Literal["speaker", "utterance"]
_CHUNK = 1 << 21  # unit indices drawn at a time: 16 MB, whatever the size of the corpus


@dataclass(frozen=True)
class Interval:
    """A confidence interval of an error rate, and what was resampled to get it."""

    low: float
    high: float
    level: float
    unit: Resampled
    units: int  # how many there were to draw from; of few speakers, expect too narrow an interval
    draws: int

    def __str__(self) -> str:
        return f"{self.level:.0%} interval {self.low:.4f} to {self.high:.4f}, resampling {self.units} {self.unit}s"


@dataclass(frozen=True)
class PairedTest:
    """System a against system b (the baseline) on the same utterances."""

    rate_a: float
    rate_b: float
    difference: float  # rate_a − rate_b: negative when a is better
    low: float
    high: float
    p: float  # two-sided
    relative: float | None  # share of b's errors that a is rid of, 1 − rate_a / rate_b; None where b makes none
    relative_low: float | None
    relative_high: float | None
    level: float
    unit: Resampled
    units: int
    draws: int


@dataclass(frozen=True)
class MatchedPairs:
    """MAPSSWE: z of the mean difference in errors per segment, and its two-sided p under the normal law."""

    z: float  # negative when a makes fewer errors; infinite when every segment differs by the same amount
    p: float
    mean: float  # errors of a − errors of b, per segment
    segments: int


def bootstrap_interval(scores: Scores, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the error rate. Raises `UserError` for fewer than two units to draw from."""
    _require(level, draws)
    counts, unit = _units([scores])
    sums = _resample(counts, draws, seed)
    low, high = _limits(sums[:, 0] / sums[:, 1], level)
    return Interval(low, high, level, unit, len(counts), draws)


def paired_test(a: Scores, b: Scores, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> PairedTest:
    """Difference between two systems with its interval and a bootstrap p-value, drawing the same units for both.

    p = 2 min(#{d* ≤ 0} + 1, #{d* ≥ 0} + 1) / (draws + 1), at most 1, so that p < 1 − level exactly when the
    interval leaves out 0 (up to one draw); its least value is 2 / (draws + 1). Raises `UserError` when the two
    were not scored alike on the same utterances, or have fewer than two units.
    """
    _require(level, draws)
    b = _matched(a, b)
    counts, unit = _units([a, b])
    sums = _resample(counts, draws, seed)
    difference = (sums[:, 0] - sums[:, 1]) / sums[:, 2]
    low, high = _limits(difference, level)
    beyond = min(int((difference <= 0).sum()), int((difference >= 0).sum()))
    relative: tuple[float | None, float | None] = (None, None)
    if (sums[:, 1] > 0).all():
        relative = _limits(1 - sums[:, 0] / sums[:, 1], level)
    return PairedTest(
        rate_a=a.rate,
        rate_b=b.rate,
        difference=a.rate - b.rate,
        low=low,
        high=high,
        p=min(1.0, 2 * (beyond + 1) / (draws + 1)),
        relative=1 - a.rate / b.rate if b.rate else None,
        relative_low=relative[0],
        relative_high=relative[1],
        level=level,
        unit=unit,
        units=len(counts),
        draws=draws,
    )


def mapsswe(a: Scores, b: Scores) -> MatchedPairs:
    """Matched-pairs sentence-segment word error test, each utterance a segment.

    It takes utterances as independent, so with few speakers trust `paired_test`. Raises `UserError` as that does.
    """
    b = _matched(a, b)
    pairs = [(x.counts.errors, y.counts.errors) for x, y in zip(a, b, strict=True) if x.counts.words]
    if len(pairs) < 2:
        raise UserError(f"a test needs at least 2 utterances with reference words, not {len(pairs)}")
    gaps = np.array([x - y for x, y in pairs], dtype=np.float64)
    mean, deviation = float(gaps.mean()), float(gaps.std(ddof=1))
    if deviation == 0:
        z = math.copysign(math.inf, mean) if mean else 0.0
    else:
        z = mean / (deviation / math.sqrt(len(gaps)))
    return MatchedPairs(z, math.erfc(abs(z) / math.sqrt(2)), mean, len(gaps))


def _require(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise UserError(f"a confidence level lies between 0 and 1, not {level}; 0.95 is usual")
    if draws < 1:
        raise UserError(f"a bootstrap needs at least 1 draw, not {draws}; 10000 is usual")


def _matched(a: Scores, b: Scores) -> Scores:
    """``b`` in the order of ``a``; raises `UserError` unless both scored the same references in the same way."""
    if (a.normaliser, a.unit) != (b.normaliser, b.unit):
        raise UserError(
            f"the systems were not scored alike: {a.unit}s after {a.normaliser!r} against "
            f"{b.unit}s after {b.normaliser!r}; score both again with one normaliser"
        )
    others = {utterance.id: utterance for utterance in b}
    ids = set(a.ids)
    lone = [name for name in a.ids if name not in others] + [name for name in b.ids if name not in ids]
    if lone:
        listed = ", ".join(repr(name) for name in lone[:3]) + (", …" if len(lone) > 3 else "")
        raise UserError(f"the systems were scored on different utterances: {len(lone)} only in one ({listed})")
    for utterance in a:
        if utterance.counts.words != others[utterance.id].counts.words:
            raise UserError(f"the systems were scored against different references of {utterance.id!r}")
    return Scores(tuple(others[name] for name in a.ids), b.normaliser, b.unit)


def _units(systems: list[Scores]) -> tuple[np.ndarray, Resampled]:
    """Errors of each system and reference words of each unit: int64 of shape (units, systems + 1).

    Units are speakers where every utterance names one and there are at least two, else utterances; those without
    reference words weigh nothing and are left out, so that every draw has a rate.
    """
    rows = [row for row in zip(*systems, strict=True) if row[0].counts.words]
    voices = {row[0].speaker for row in rows}
    unit: Resampled = "speaker" if len(voices) > 1 and None not in voices else "utterance"
    sums: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(systems) + 1, dtype=np.int64))
    for row in rows:
        sums[_key(row[0], unit)] += [*(utterance.counts.errors for utterance in row), row[0].counts.words]
    if len(sums) < 2:
        raise UserError(f"a bootstrap needs at least 2 utterances with reference words, not {len(sums)}")
    return np.stack([sums[key] for key in sorted(sums)]), unit


def _key(utterance: ScoredUtterance, unit: Resampled) -> str:
    return utterance.speaker or "" if unit == "speaker" else utterance.id


def _resample(counts: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Column sums of ``draws`` samples of the rows with replacement: int64 of shape (draws, columns)."""
    return np.concatenate(list(_chunks(counts, draws, np.random.default_rng(seed))))


def _chunks(counts: np.ndarray, draws: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    units = len(counts)
    columns = np.ascontiguousarray(counts.T)
    size = max(1, _CHUNK // units)
    for start in range(0, draws, size):
        picked = generator.integers(0, units, size=(min(size, draws - start), units))
        yield np.stack([column[picked].sum(axis=1) for column in columns], axis=1)


def _limits(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
