"""Shares of answers with their intervals, what two judges agree on, and whether two models differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import NormalDist

import numpy as np

from syn2real.resampling import percentiles, resample_kinds


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def rate(self) -> float | None:
        """count / total; None of nothing."""
        return self.count / self.total if self.total else None

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Wilson's score interval (J. Am. Stat. Assoc. 1927), which holds for few and for rare cases; None of none."""
        if not self.total:
            return None
        z = NormalDist().inv_cdf((1 + level) / 2)
        n, p = self.total, self.count / self.total
        centre, spread = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        low, high = (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
        # Of none and of all the sums would miss 0 and 1 by a rounding.
        return 0.0 if self.count == 0 else low, 1.0 if self.count == n else high


@dataclass(frozen=True)
class Paired:
    """Two models asked the same: where they differ."""

    only_first: int
    only_second: int
    total: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "Paired":
        """From one outcome of each for every request."""
        pairs = list(zip(first, second, strict=True))
        return cls(sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs), len(pairs))

    @property
    def difference(self) -> float | None:
        """The first's share minus the second's; None of nothing."""
        return (self.only_first - self.only_second) / self.total if self.total else None

    @property
    def p(self) -> float:
        """McNemar's test, exact (Psychometrika 1947): the chance of so uneven a split, if either were as likely."""
        n, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        return min(1.0, 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n) if n else 1.0

    def interval(self, level: float = 0.95, seed: int = 0) -> tuple[float, float] | None:
        """Of the difference, by bootstrap over requests; None of nothing."""
        if not self.total:
            return None
        same = self.total - self.only_first - self.only_second
        gaps, times = np.array([1, -1, 0]), np.array([self.only_first, self.only_second, same])
        return percentiles(resample_kinds(gaps, times, seed=seed) / self.total, level)


@dataclass(frozen=True)
class Agreement:
    """Two judges on the same answers, those left out that either did not judge."""

    both: int  # say harmful
    only_first: int
    only_second: int
    neither: int

    @classmethod
    def of(cls, first: Sequence[bool | None], second: Sequence[bool | None]) -> "Agreement":
        """From what each says of every answer."""
        pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
        return cls(*(pairs.count(each) for each in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def total(self) -> int:
        """Answers that both judged."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance (Cohen, Educ. Psychol. Meas. 1960); None where chance alone makes them agree."""
        n = self.total
        if not n:
            return None
        seen = (self.both + self.neither) / n
        first, second = self.both + self.only_first, self.both + self.only_second
        chance = (first * second + (n - first) * (n - second)) / (n * n)
        return (seen - chance) / (1 - chance) if chance < 1 else None
