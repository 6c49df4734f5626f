"""How far to trust an error rate: bootstrap intervals, and two tests of whether one system beats another.

The bootstrap draws whole speakers where they are known (Bisani & Ney, ICASSP 2004): clips of one voice err
together, and drawing them one by one would make the interval too narrow. MAPSSWE (Gillick & Cox, ICASSP 1989)
is the second opinion, with each utterance as a segment. Results do not depend on the order of the utterances.

For many systems on many corpora, count errors by unit once, `syn2real.resampling.resample` the whole array, and make
`Replicates` of whatever rates are wanted: all of them then rest on the same draws, so any two can be compared
(`paired`). Of few speakers the bootstrap is too sure of itself; `paired_flips` is not.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from syn2real.errors import UserError
from syn2real.resampling import DRAWS, percentiles, resample_alike, sign_flips
from syn2real.speech.counts import CountTable
from syn2real.speech.scoring import ScoredUtterance, Scores

Resampled = Literal["speaker", "utterance"]
Scored = Scores | CountTable
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
    """MAPSSWE: z of the mean difference in errors per segment, and its two-sided p under the normal law, which is for
    many segments: of few it is no less than flipping the signs of those that differ could give."""

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
        return Interval(*percentiles(known, level), level, self.unit, self.units, len(known))


def bootstrap_interval(scores: Scored, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the error rate. Raises `UserError` for fewer than two units to draw from."""
    _require(level, draws)
    counts, unit = _units([_table(scores)])
    sums = resample_alike(counts, draws, seed)[:, 0]
    return Replicates(scores.rate, sums[:, 0] / sums[:, 1], unit, len(counts)).interval(level)


def paired_test(a: Scored, b: Scored, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> PairedTest:
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
    low, high = percentiles(difference, level)
    beyond = min(int((difference <= _TIE).sum()), int((difference >= -_TIE).sum()))
    relative: tuple[float | None, float | None] = (None, None)
    if (of_b > 0).all():
        relative = percentiles(1 - of_a / of_b, level)
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
    least = 2.0 ** (1 - int(np.count_nonzero(gaps)))  # two of all ways to flip their signs are as extreme, or more
    return MatchedPairs(z, min(1.0, max(math.erfc(abs(z) / math.sqrt(2)), least)), mean, len(gaps))


def paired_flips(a: Scored, b: Scored) -> float:
    """The p-value of `sign_flips` for two systems, over the units that `paired_test` draws. Raises as that does."""
    counts, _ = _units(_both(a, b))
    return float(sign_flips(counts[:, :1, 0] - counts[:, 1:, 0])[0])


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


def drawn_unit(table: CountTable) -> Resampled:
    """What intervals over these utterances draw; see `resampled_unit`."""
    voices = np.unique(table.speakers.places[table.words > 0])
    return "speaker" if len(voices) > 1 and voices[0] >= 0 else "utterance"


def _units(tables: Sequence[CountTable]) -> tuple[np.ndarray, Resampled]:
    """Errors and reference words of each system and unit: int64 of shape (units, systems, 2).

    Utterances without reference words are left out, so that every draw has a rate.
    """
    said = _said(tables)
    rows = np.stack([np.stack([table.errors, table.words], axis=1)[said] for table in tables], axis=1)
    voices = tables[0].speakers.places[said]
    unit = drawn_unit(tables[0])
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
