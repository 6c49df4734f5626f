"""The k largest of a stream of magnitudes, by threshold instead of sorting, in bounded memory.

After Floyd and Rivest (1975): a sample brackets the threshold narrowly, one pass counts what lies above the bracket and
keeps the little that lies within.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge import kernels

SAMPLE = 1 << 14  # elements, at least, that bracket a threshold
KEPT = 1 << 22  # elements held at once: 32 MB
_SPREAD = 4.0  # standard errors of the sample's quantile on either side


@dataclass
class Screened:
    """How one stretch of a series lies to two bounds."""

    above: int
    at_high: int
    at_low: int
    within: np.ndarray  # the elements strictly between, in any order: float64

    @classmethod
    def of(cls, values: np.ndarray, low: float, high: float, above: int = 0) -> "Screened":
        """Of float64 ``values``, and of so many others ``above``. Raises `UserError` for NaN."""
        within = values[(values > low) & (values < high)]
        if len(within) == len(values):
            return cls(above, 0, 0, within)
        if np.isnan(values).any():
            raise _nan()
        counts = [int(np.count_nonzero(found)) for found in (values > high, values == high, values == low)]
        return cls(above + counts[0], counts[1], counts[2], within)


class Series(Protocol):
    """Non-negative numbers in a fixed order, read as often as needed. Those that are NaN raise `UserError`."""

    def sample(self, stride: int) -> np.ndarray:
        """Every ``stride``-th element or thereabouts: float64."""
        ...

    def screen(self, low: float, high: float) -> Iterator[Screened]:
        """How the elements lie to ``low`` <= ``high``: for stretches of any length."""
        ...


@dataclass
class Cut:
    """What is selected: everything above ``value``, and the first ``ties`` of what equals it, in order of elements."""

    value: float
    ties: int

    def mask(self, magnitudes: Tensor, left: int) -> tuple[Tensor, int]:
        """The mask of one block when ``left`` ties may still be taken, and how many are left after it."""
        mask = magnitudes > self.value
        if left:
            equal = (magnitudes == self.value).nonzero().view(-1)[:left]
            mask[equal] = True
            left -= equal.numel()
        return mask, left

    def trim(self, values: Tensor, left: int) -> tuple[Tensor, int]:
        """`mask` of the values' magnitudes, applied: ``values`` with 0 for what is dropped, and how many ties are left.

        One vectorised operation for most blocks, where a boolean mask costs ten times as much.
        """
        if self.value <= 0:  # what would be dropped is 0
            return values, left
        if kernels.taken(values) and values.dtype == torch.float64:
            return kernels.trim(values, self.value, left)
        if not left:
            return torch.hardshrink(values, self.value), 0
        kept = torch.hardshrink(values, _before(self.value, values.dtype))
        found = values.cpu().numpy()
        equal = (found == self.value) | (found == -self.value)
        count = int(np.count_nonzero(equal))
        if count > left:
            kept[torch.from_numpy(np.flatnonzero(equal)[left:])] = 0.0
        return kept, left - min(left, count)


def _before(value: float, dtype: torch.dtype) -> float:
    """The next smaller number of ``dtype``."""
    return float(torch.nextafter(torch.tensor(value, dtype=dtype), torch.tensor(-np.inf, dtype=dtype)))


def largest(series: Series | Callable[[], Iterable[Tensor]], count: int, keep: int) -> Cut:
    """Select exactly ``keep`` of the ``count`` elements of ``series``: the largest; of equals, the earliest.

    ``series`` may be a function that gives the same float64 1-D tensors every time. Raises `ValueError` unless
    0 <= keep <= count, and `UserError` when it comes upon NaN.
    """
    if not 0 <= keep <= count:
        raise ValueError(f"cannot keep {keep} of {count}")
    if keep == 0:
        return Cut(float("inf"), 0)
    if keep == count:
        return Cut(-1.0, 0)
    if callable(series):
        series = _Blocks(series)
    floor, ceiling = -1.0, float("inf")  # the threshold lies in between
    low, high = _bracket(series, count, keep)
    while True:
        above, at_high, within, at_low, inside = _count(series, low, high)
        if keep <= above:  # the sample misled: the threshold lies higher
            floor, low, high = high, high, ceiling
        elif keep <= above + at_high:
            return Cut(high, keep - above)
        elif keep <= above + at_high + within:
            rank = keep - above - at_high  # of the elements within, from the largest
            if inside is not None:
                value = _nth(inside, len(inside) - rank)
                return Cut(value, rank - int((inside > value).sum()))
            floor, ceiling = low, high
            low, high = _narrow(series, low, high, within, rank)
        elif keep <= above + at_high + within + at_low:
            return Cut(low, keep - above - at_high - within)
        elif low > floor:  # misled the other way
            ceiling, low, high = low, floor, low
        else:
            raise ValueError("the values are not all non-negative, or changed between two readings")


class _Blocks:
    """A `Series` of what a function gives."""

    def __init__(self, blocks: Callable[[], Iterable[Tensor]]) -> None:
        self._blocks = blocks

    def sample(self, stride: int) -> np.ndarray:
        parts, seen = [], 0
        for block in self._blocks():
            parts.append(block[(-seen) % stride :: stride].cpu().numpy())
            seen += block.numel()
        return np.concatenate(parts).astype(np.float64)  # a copy: the blocks may be large

    def screen(self, low: float, high: float) -> Iterator[Screened]:
        for block in self._blocks():
            yield screened(block, low, high)


def screened(block: Tensor, low: float, high: float) -> Screened:
    """One stretch of `Series.screen`. Raises `UserError` for NaN."""
    above = block > high
    outside = block < low
    outside |= above
    return Screened.of(block[~outside].cpu().double().numpy(), low, high, int(above.sum()))


def _bracket(series: Series, count: int, keep: int) -> tuple[float, float]:
    """Two values between which the threshold almost certainly lies."""
    size = max(SAMPLE, min(count >> 7, 1 << 20))
    # Odd, so that no power of two, such as the length of a row, shares a factor with it.
    stride = max(1, count // size) | 1
    return _quantiles(series.sample(stride), keep / count, exact=stride == 1)


def _quantiles(sample: np.ndarray, share: float, *, exact: bool) -> tuple[float, float]:
    size = len(sample)
    if np.isnan(sample).any():
        raise _nan()
    spread = 1.0 if exact else _SPREAD * (size * share * (1 - share)) ** 0.5 + 1
    first, last = int(size * share - spread), int(size * share + spread)
    high = _nth(sample, size - 1 - first) if 0 <= first < size else float("inf")
    low = _nth(sample, size - 1 - last) if last < size else -1.0
    return low, high


def _nth(values: np.ndarray, place: int) -> float:
    """What stands at ``place`` among the values when they are sorted; none of them is NaN."""
    if kernels.built():
        return kernels.nth(values, place)
    # Two places at once: for one alone, numpy's vectorised quickselect is six times as slow as a sort where many are
    # equal.
    return float(np.partition(values, [max(place - 1, 0), place])[place])


def _count(series: Series, low: float, high: float) -> tuple[int, int, int, int, np.ndarray | None]:
    """How many lie above, at ``high``, strictly between, at ``low``; and those between, unless they are too many."""
    above = at_high = within = at_low = 0
    inside: list[np.ndarray] | None = [np.empty(0)]
    for found in series.screen(low, high):
        above += found.above
        at_high += found.at_high
        at_low += found.at_low if low < high else 0
        within += len(found.within)
        if inside is not None:
            inside.append(found.within)
            if within > KEPT:
                inside = None
    return above, at_high, within, at_low, None if inside is None else np.concatenate(inside)


def _narrow(series: Series, low: float, high: float, within: int, rank: int) -> tuple[float, float]:
    """A narrower bracket inside one that holds too many: from a random sample of what lies between."""
    random = np.random.default_rng(within)
    share = min(1.0, SAMPLE / within)
    taken = []
    for found in series.screen(low, high):
        taken.append(found.within[random.random(len(found.within)) < share])
    lower, higher = _quantiles(np.concatenate(taken), rank / within, exact=share == 1)
    return max(low, lower), min(high, higher)


def _nan() -> UserError:
    return UserError("the values hold NaN, which has no magnitude; mend the checkpoint first")
