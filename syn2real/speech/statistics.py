"""How far to trust an error rate: bootstrap intervals, and two tests of whether one system beats another.

The bootstrap draws whole speakers where they are known (Bisani & Ney, ICASSP 2004): clips of one voice err
together, and drawing them one by one would make the interval too narrow. MAPSSWE (Gillick & Cox, ICASSP 1989)
is the second opinion, with each utterance as a segment. Results do not depend on the order of the utterances.

For many systems on many corpora, count errors by unit once, `resample` the whole array, and make `Replicates` of
whatever rates are wanted: all of them then rest on the same draws, so any two can be compared (`paired`). Of few
speakers the bootstrap is too sure of itself; `sign_flips` is not. `holm` corrects the p-values of a family of tests.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from syn2real.errors import UserError
from syn2real.speech.counts import CountTable
from syn2real.speech.scoring import ScoredUtterance, Scores

Resampled = Literal["speaker", "utterance"]
Scored = Scores | CountTable
_CHUNK = 1 << 21  # unit indices drawn at a time: 16 MB, whatever the size of the corpus
_MANY = 10_000  # units from which on those with equal counts are drawn together
_EXACT = 16  # units up to which every choice of signs is tried: 32,768 of them
_TIE = 1e-12  # a difference of rates that is only rounding


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


@dataclass(frozen=True, eq=False)
class Replicates:
    """An error rate, and what it would have been in each draw: ``draws`` is float64 of shape (draws,).

    A draw that holds no word of what the rate is about is NaN, and is left out of intervals and tests.
    """

    rate: float
    draws: np.ndarray
    unit: Resampled
    units: int

    def interval(self, level: float = 0.95) -> Interval:
        """Percentile interval of the rate."""
        known = self.draws[~np.isnan(self.draws)]
        return Interval(*_limits(known, level), level, self.unit, self.units, len(known))


def bootstrap_interval(scores: Scored, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the error rate. Raises `UserError` for fewer than two units to draw from."""
    _require(level, draws)
    counts, unit = _units([_table(scores)])
    sums = resample_alike(counts, draws, seed)[:, 0]
    return Replicates(scores.rate, sums[:, 0] / sums[:, 1], unit, len(counts)).interval(level)


def paired_test(a: Scored, b: Scored, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> PairedTest:
    """Difference between two systems with its interval and a bootstrap p-value, drawing the same units for both.

    p = 2 min(#{d* ≤ 0} + 1, #{d* ≥ 0} + 1) / (draws + 1), at most 1, so that p < 1 − level exactly when the
    interval leaves out 0 (up to one draw); its least value is 2 / (draws + 1). Raises `UserError` when the two
    were not scored alike on the same utterances, or have fewer than two units.
    """
    _require(level, draws)
    tables = _both(a, b)
    counts, unit = _units(tables)
    sums = resample_alike(counts, draws, seed)
    with np.errstate(invalid="ignore"):  # 0 / 0, where all that was drawn may be read as silence
        draw_rates = sums[:, :, 0] / sums[:, :, 1]
    first, second = (
        Replicates(system.rate, draw_rates[:, index], unit, len(counts)) for index, system in enumerate(tables)
    )
    return paired(first, second, level)


def paired(a: Replicates, b: Replicates, level: float = 0.95) -> PairedTest:
    """`paired_test` of two rates from the same draws, whatever they are rates of (a pooled one, a mean over domains).

    Draws without either rate are left out. Raises ``ValueError`` for replicates that cannot be of the same draws.
    """
    if (a.unit, a.units, len(a.draws)) != (b.unit, b.units, len(b.draws)):
        raise ValueError("the two rates do not come from the same draws")
    known = ~(np.isnan(a.draws) | np.isnan(b.draws))
    of_a, of_b = a.draws[known], b.draws[known]
    difference = of_a - of_b
    low, high = _limits(difference, level)
    beyond = min(int((difference <= _TIE).sum()), int((difference >= -_TIE).sum()))
    relative: tuple[float | None, float | None] = (None, None)
    if (of_b > 0).all():
        relative = _limits(1 - of_a / of_b, level)
    return PairedTest(
        rate_a=a.rate,
        rate_b=b.rate,
        difference=a.rate - b.rate,
        low=low,
        high=high,
        p=min(1.0, 2 * (beyond + 1) / (len(difference) + 1)),
        relative=1 - a.rate / b.rate if b.rate else None,
        relative_low=relative[0],
        relative_high=relative[1],
        level=level,
        unit=a.unit,
        units=a.units,
        draws=len(difference),
    )


def mapsswe(a: Scored, b: Scored) -> MatchedPairs:
    """Matched-pairs sentence-segment word error test, each utterance a segment.

    It takes utterances as independent, so with few speakers trust `paired_test`. Raises `UserError` as that does.
    """
    tables = _both(a, b)
    said = _said(tables)
    gaps = (tables[0].errors - tables[1].errors)[said].astype(np.float64)
    if len(gaps) < 2:
        raise UserError(f"a test needs at least 2 utterances with reference words, not {len(gaps)}")
    mean, deviation = float(gaps.mean()), float(gaps.std(ddof=1))
    if deviation == 0:
        z = math.copysign(math.inf, mean) if mean else 0.0
    else:
        z = mean / (deviation / math.sqrt(len(gaps)))
    return MatchedPairs(z, math.erfc(abs(z) / math.sqrt(2)), mean, len(gaps))


def sign_flips(gaps: np.ndarray, draws: int = 100_000, seed: int = 0) -> np.ndarray:
    """Two-sided p-values of paired differences by unit: (units, tests) whole numbers → float64 of shape (tests,).

    Were two systems alike, each unit's difference would as likely have the other sign. p is the share of choices of
    signs whose sum is at least as far from 0: of all of them up to 16 units (exact, least value 2 / 2^units), beyond
    that of ``draws`` random ones and the one observed (Noreen, Computer-Intensive Methods, 1989). Right for any number
    of units, where the bootstrap of fewer than about 30 rejects too often.
    """
    units = len(gaps)
    values = gaps.astype(np.float64)
    seen = np.abs(values.sum(axis=0))
    exact = units <= _EXACT
    generator = np.random.default_rng(seed)
    choices = 1 << max(0, units - 1) if exact else draws  # of all, those that differ in more than what is called plus
    size = max(1, _CHUNK // max(units, values.shape[1]))
    beyond = np.zeros(values.shape[1])
    for start in range(0, choices, size):
        count = min(size, choices - start)
        if exact:
            flipped = np.arange(start, start + count)[:, None] >> np.arange(units) & 1
        else:
            flipped = generator.integers(0, 2, size=(count, units), dtype=np.int8)
        beyond += (np.abs((1.0 - 2.0 * flipped) @ values) >= seen).sum(axis=0)
    return beyond / choices if exact else (beyond + 1) / (choices + 1)


def paired_flips(a: Scored, b: Scored) -> float:
    """The p-value of `sign_flips` for two systems, over the units that `paired_test` draws. Raises as that does."""
    counts, _ = _units(_both(a, b))
    return float(sign_flips(counts[:, :1, 0] - counts[:, 1:, 0])[0])


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for there being several, in the order given (Holm, Scand. J. Statist. 1979, step-down).

    Rejecting those at most α keeps the chance of any false rejection in the family within α, however the tests
    depend on each other.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    if any(not 0 <= p <= 1 for p in ps):
        raise ValueError("p-values lie between 0 and 1")
    corrected = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = largest
    return corrected


def resample(counts: np.ndarray, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """Sums over ``draws`` samples of the units with replacement: (units, …) → float64 of shape (draws, …).

    Every column is summed over the same sample, and a second call with as many units, draws and the same seed draws
    the same samples. Sums of whole numbers are exact.
    """
    columns = counts.reshape(len(counts), -1).astype(np.float64)
    sums = np.concatenate([weights @ columns for weights in _samples(len(counts), draws, seed)])
    return sums.reshape(draws, *counts.shape[1:])


def resample_alike(counts: np.ndarray, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """`resample`, in less time where there are many units and few counts among them: as often as each occurs.

    How many of a sample have certain counts is multinomial, so the sums have the same law. Of `_MANY` units or more the
    samples are others than those of `resample`; nothing else may rest on them.
    """
    rows = counts.reshape(len(counts), -1)
    if len(rows) >= _MANY:
        kinds, times = np.unique(rows, axis=0, return_counts=True)
        if len(kinds) < len(rows) // 2:
            generator = np.random.default_rng(seed)
            size = max(1, _CHUNK // len(kinds))
            parts = (
                generator.multinomial(len(rows), times / len(rows), min(size, draws - start)).astype(np.float64)
                for start in range(0, draws, size)
            )
            return np.concatenate([part @ kinds for part in parts]).reshape(draws, *counts.shape[1:])
    return resample(counts, draws, seed)


def resampled_unit(utterances: Iterable[ScoredUtterance]) -> Resampled:
    """What to draw: speakers where every utterance with reference words names one and there are two, else utterances.

    Utterances without reference words weigh nothing and have no say.
    """
    voices = {utterance.speaker for utterance in utterances if utterance.counts.words}
    return "speaker" if len(voices) > 1 and None not in voices else "utterance"


def unit_of(utterance: ScoredUtterance, unit: Resampled) -> str:
    """The name of the unit an utterance belongs to."""
    return utterance.speaker or "" if unit == "speaker" else utterance.id


def _require(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise UserError(f"a confidence level lies between 0 and 1, not {level}; 0.95 is usual")
    if draws < 1:
        raise UserError(f"a bootstrap needs at least 1 draw, not {draws}; 10000 is usual")


def matched(a: Scores, b: Scores) -> Scores:
    """``b`` in the order of ``a``; raises `UserError` unless both scored the same references in the same way.

    Of a reference with several readings each system has its own, perhaps with other words.
    """
    return Scores(tuple(b.utterances[place] for place in _order(a.table, b.table)), b.normaliser, b.unit)


def _order(a: CountTable, b: CountTable) -> np.ndarray:
    """Where in ``b`` each utterance of ``a`` is; raises as `matched` does."""
    if (a.normaliser, a.unit) != (b.normaliser, b.unit):
        raise UserError(
            f"the systems were not scored alike: {a.unit}s after {a.normaliser!r} against "
            f"{b.unit}s after {b.normaliser!r}; score both again with one normaliser"
        )
    order = np.arange(len(a))
    if not np.array_equal(a.ids, b.ids):
        lone = [*a.ids[~np.isin(a.ids, b.ids)], *b.ids[~np.isin(b.ids, a.ids)]]
        if lone:
            listed = ", ".join(map(repr, lone[:3])) + (", …" if len(lone) > 3 else "")
            raise UserError(f"the systems were scored on different utterances: {len(lone)} only in one ({listed})")
        order[np.argsort(a.ids)] = np.argsort(b.ids)
    other_words = (a.written == 0) & (a.words != b.words[order])
    unlike = np.flatnonzero((a.written != b.written[order]) | other_words)
    if len(unlike):
        raise UserError(f"the systems were scored against different references of {a.ids[unlike[0]]!r}")
    return order


def _table(scores: Scored) -> CountTable:
    return scores.table if isinstance(scores, Scores) else scores


def _both(a: Scored, b: Scored) -> list[CountTable]:
    """The two tables, in the order of the first."""
    first, second = _table(a), _table(b)
    return [first, second.take(_order(first, second))]


def _said(tables: Sequence[CountTable]) -> np.ndarray:
    """Places of the utterances that have reference words, for one of the systems at least."""
    return np.flatnonzero(np.any([table.words > 0 for table in tables], axis=0))


def _units(tables: Sequence[CountTable]) -> tuple[np.ndarray, Resampled]:
    """Errors and reference words of each system and unit: int64 of shape (units, systems, 2).

    Utterances without reference words are left out, so that every draw has a rate.
    """
    said = _said(tables)
    rows = np.stack([np.stack([table.errors, table.words], axis=1)[said] for table in tables], axis=1)
    voices = tables[0].speakers.places[said]
    present = np.unique(voices[tables[0].words[said] > 0])
    unit: Resampled = "speaker" if len(present) > 1 and present[0] >= 0 else "utterance"
    if unit == "utterance":
        units = rows[np.argsort(tables[0].ids[said])]
    else:
        names = tables[0].speakers.names
        ordered = sorted(set(voices.tolist()), key=lambda place: names[place] if place >= 0 else "")
        units = np.zeros((len(ordered), *rows.shape[1:]), dtype=np.int64)
        place_of = np.zeros(len(names) + 1, dtype=np.int64)  # the last, −1, for those without a name
        place_of[ordered] = np.arange(len(ordered))
        np.add.at(units, place_of[voices], rows)
    if len(units) < 2:
        raise UserError(f"a bootstrap needs at least 2 utterances with reference words, not {len(units)}")
    return units, unit


def _samples(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is in each sample: float64 of shape (some draws, units), a bounded part at a time."""
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // units)
    for start in range(0, draws, size):
        count = min(size, draws - start)
        picked = generator.integers(0, units, size=(count, units))
        picked += np.arange(count)[:, None] * units
        yield np.bincount(picked.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)


def _limits(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
