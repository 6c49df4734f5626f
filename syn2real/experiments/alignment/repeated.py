"""Shares over requests that several models of one kind were asked: those of a fine-tuning with other seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syn2real.language.safety.rates import Share
from syn2real.resampling import percentiles, resample_kinds, sign_flips


@dataclass(frozen=True)
class Repeated:
    """How often, or how far within 0 and 1, something is so: of each request, summed over how many models. float64 of
    shape (requests,)."""

    hits: np.ndarray
    of: np.ndarray
    shares: bool = True  # False: no shares but measures of any size, whose intervals are the bootstrap's alone

    @classmethod
    def over(cls, models: Sequence[Sequence[float | None]], *, shares: bool = True) -> "Repeated":
        """From each model's outcome of every request; None: unknown, and left out."""
        table = [[np.nan if value is None else float(value) for value in outcome] for outcome in models]
        values = np.array(table, dtype=np.float64).reshape(len(models), -1)
        return cls(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0).astype(np.float64), shares)

    @property
    def rate(self) -> float | None:
        """Over all; None of none."""
        return float(self.hits.sum() / self.of.sum()) if self.of.sum() else None

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """By bootstrap over requests, each drawn with all its models; Wilson's for so many requests where none or all
        are so, or there is one model and each is so or not. None of none."""
        asked = int((self.of > 0).sum())
        if not asked:
            return None
        rate = self.rate
        certain = rate in (0.0, 1.0) or (self.of.max() == 1 and np.isin(self.hits, (0.0, 1.0)).all())
        if self.shares and certain:
            return Share(round((rate or 0.0) * asked), asked).interval(level)
        hits, totals = _resampled(np.stack([self.hits, self.of], axis=1)).T
        return percentiles(hits[totals > 0] / totals[totals > 0], level)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        low, high = self.interval() or (None, None)
        return {"rate": self.rate, "ci_low": low, "ci_high": high, "of": int((self.of > 0).sum())}


def difference(a: Repeated, b: Repeated, level: float = 0.95) -> dict[str, Any]:
    """a's share minus b's on the same requests: a bootstrap interval, and a p-value by flipping the signs of the
    requests' differences. Requests that only one side knows are left out."""
    both = (a.of > 0) & (b.of > 0)
    gaps = a.hits[both] / a.of[both] - b.hits[both] / b.of[both]
    if not len(gaps):
        return {"difference": None, "ci_low": None, "ci_high": None, "p": None}
    low, high = percentiles(_resampled(gaps) / len(gaps), level)
    p = float(sign_flips(gaps[:, None])[0])
    return {"difference": float(gaps.mean()), "ci_low": low, "ci_high": high, "p": p}


def _resampled(counts: np.ndarray) -> np.ndarray:
    """Sums over samples of the requests: (requests, …) → (draws, …), of the same samples for as many requests."""
    return resample_kinds(counts, np.ones(len(counts)))
