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


class Series(Protocol):
    """Non-negative numbers in a fixed order, read as often as needed."""

    def sample(self, stride: int) -> np.ndarray:
        """Every ``stride``-th element or thereabouts: float64."""
        ...

    def screen(self, low: float, high: float) -> Iterator[tuple[int, np.ndarray]]:
        """In order, for stretches of any length: how many elements are sure to lie above ``high``, and float64 values
        of at least all others in [``low``, ``high``] and of all NaN."""
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
                place = len(inside) - rank
                # Two places at once: for one alone, numpy's vectorised quickselect is six times as slow as a sort where
                # many elements are equal.
                value = float(np.partition(inside, [max(place - 1, 0), place])[place])
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

    def screen(self, low: float, high: float) -> Iterator[tuple[int, np.ndarray]]:
        for block in self._blocks():
            yield screened(block, low, high)


def screened(block: Tensor, low: float, high: float) -> tuple[int, np.ndarray]:
    """One stretch of `Series.screen`."""
    if block.device.type == "cpu":
        values = block.numpy()
        count, places = split(values, low, high)
        return count, values[places].astype(np.float64, copy=False)
    above = block > high
    return int(above.sum()), block[~(above | (block < low))].double().cpu().numpy()


def split(values: np.ndarray, low: float, high: float) -> tuple[int, np.ndarray]:
    """How many ``values`` lie above ``high``, and the places of those neither above it nor below ``low``."""
    above = values > high
    outside = values < low
    outside |= above
    return int(np.count_nonzero(above)), np.flatnonzero(~outside)


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
    places = [size - 1 - place for place in (first, last) if 0 <= place < size]
    sample.partition(places)
    high = float(sample[size - 1 - first]) if 0 <= first < size else float("inf")
    low = float(sample[size - 1 - last]) if last < size else -1.0
    return low, high


def _count(series: Series, low: float, high: float) -> tuple[int, int, int, int, np.ndarray | None]:
    """How many lie above, at ``high``, strictly between, at ``low``; and those between, unless they are too many."""
    above = at_high = within = at_low = 0
    inside: list[np.ndarray] | None = []
    for over, values in series.screen(low, high):
        above += over
        if not len(values):
            continue
        between = values[(values > low) & (values < high)]
        within += len(between)
        if len(between) < len(values):
            if np.isnan(values).any():
                raise _nan()
            above += int(np.count_nonzero(values > high))
            at_high += int(np.count_nonzero(values == high))
            at_low += int(np.count_nonzero(values == low)) if low < high else 0
        if inside is not None:
            inside.append(between)
            if within > KEPT:
                inside = None
    return above, at_high, within, at_low, None if inside is None else np.concatenate([*inside, np.empty(0)])


def _narrow(series: Series, low: float, high: float, within: int, rank: int) -> tuple[float, float]:
    """A narrower bracket inside one that holds too many: from a random sample of what lies between."""
    random = np.random.default_rng(within)
    share = min(1.0, SAMPLE / within)
    taken = []
    for _, values in series.screen(low, high):
        between = values[(values > low) & (values < high)]
        taken.append(between[random.random(len(between)) < share])
    lower, higher = _quantiles(np.concatenate(taken), rank / within, exact=share == 1)
    return max(low, lower), min(high, higher)


def _nan() -> UserError:
    return UserError("the values hold NaN, which has no magnitude; mend the checkpoint first")
