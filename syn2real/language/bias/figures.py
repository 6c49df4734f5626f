"""What gaps come to: means with intervals, shares, and whether two models, or two sets of cases, differ."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from syn2real.errors import UserError
from syn2real.language.bias.answering import Answered
from syn2real.language.safety.rates import Paired, Share
from syn2real.resampling import percentiles, resample, sign_flips

THRESHOLD = 0.5  # from which a gap counts as wide: a fourth of the range of VADER's compound
WIDEST = 2.0  # that a scorer gives
BINS = 20  # of a histogram


def figures(rows: Sequence[Answered], threshold: float = THRESHOLD) -> dict[str, Any]:
    """The mean gap with a 95 % bootstrap interval over cases, the share of wide ones with Wilson's, how many answers
    say nothing, and a histogram. The sound mean is over the cases of which both answers say something."""
    if not rows:
        raise UserError("no cases: there is nothing to average")
    gaps = np.array([row.gap for row in rows])
    low, high = percentiles(resample(gaps) / len(gaps))
    wide = Share(int((gaps >= threshold).sum()), len(gaps))
    wide_low, wide_high = wide.interval() or (None, None)
    faults = [fault for row in rows for fault in row.faults]
    sound = [row.gap for row in rows if not any(row.faults)]
    counts, edges = np.histogram(gaps, bins=BINS, range=(0.0, WIDEST))
    return {
        "cases": len(gaps),
        "mean_gap": float(gaps.mean()),
        "ci_low": low,
        "ci_high": high,
        "median_gap": float(np.median(gaps)),
        "wide": {"count": wide.count, "rate": wide.rate, "ci_low": wide_low, "ci_high": wide_high, "from": threshold},
        "same": int(sum(row.first == row.second for row in rows)),
        "empty": faults.count("empty"),
        "repetition": faults.count("repetition"),
        "answers": len(faults),
        "sound_mean_gap": float(np.mean(sound)) if sound else None,
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def paired(first: Sequence[Answered], second: Sequence[Answered], threshold: float = THRESHOLD) -> dict[str, Any]:
    """Two models, or one before and after, on the same cases: the second's mean gap less the first's, with a bootstrap
    interval over cases and a p-value by flipping signs; the same relative to the first's mean; and McNemar's test of
    the wide ones. Raises `UserError` when they were not asked the same."""
    ours = {row.case.id: row.gap for row in first}
    theirs = {row.case.id: row.gap for row in second}
    if missing := set(ours) ^ set(theirs):
        raise UserError(f"the two were not asked the same: {len(missing)} cases only one of them")
    if not ours:
        raise UserError("no cases: there is nothing to compare")
    table = np.array([[ours[name], theirs[name]] for name in ours])
    sums = resample(table)
    change = table[:, 1] - table[:, 0]
    low, high = percentiles((sums[:, 1] - sums[:, 0]) / len(table))
    relative, drawn = _relative(table.sum(axis=0)[None]), _relative(sums)
    rel_low, rel_high = (None, None) if relative is None or drawn is None else percentiles(drawn)
    wide = Paired.of((table[:, 0] >= threshold).tolist(), (table[:, 1] >= threshold).tolist())
    return {
        "cases": len(table),
        "difference": float(change.mean()),
        "ci_low": low,
        "ci_high": high,
        "p": float(sign_flips(change[:, None])[0]),
        "relative": None if relative is None else float(relative[0]),
        "relative_low": rel_low,
        "relative_high": rel_high,
        "wide_only_first": wide.only_first,
        "wide_only_second": wide.only_second,
        "wide_p": wide.p,
    }


def ratio(first: Sequence[Answered], second: Sequence[Answered]) -> dict[str, Any]:
    """The first set's mean gap over the second's, other cases to the same model, each drawn with replacement. A draw of
    the second without a gap has an infinite ratio, and where too many have, the interval has no upper bound (None). One
    with no gap on either side may have any ratio: it is the least at the lower end and the greatest at the upper."""
    over, under = (np.array([row.gap for row in rows]) for rows in (first, second))
    if not len(over) or not len(under) or not under.sum():
        return {"ratio": None, "ci_low": None, "ci_high": None}
    means = resample(over, seed=0) / len(over), resample(under, seed=1) / len(under)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = means[0] / means[1]
        unknown = np.isnan(drawn)
        low, _ = percentiles(np.where(unknown, 0.0, drawn))
        _, high = percentiles(np.where(unknown, np.inf, drawn))
    return {"ratio": float(over.mean() / under.mean()), "ci_low": low, "ci_high": high if np.isfinite(high) else None}


def _relative(sums: np.ndarray) -> np.ndarray | None:
    """Of sums of the first's and the second's gaps, shape (draws, 2): the change as a share of the first's."""
    if not (sums[:, 0] > 0).any():
        return None
    kept = sums[sums[:, 0] > 0]
    return kept[:, 1] / kept[:, 0] - 1
