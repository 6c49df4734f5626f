"""The k largest of a stream of magnitudes, by threshold instead of sorting, in bounded memory.

After Floyd and Rivest (1975): a sample brackets the threshold narrowly, one pass counts what lies above the bracket and
keeps the little that lies within.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError

SAMPLE = 1 << 14  # elements that bracket a threshold
KEPT = 1 << 21  # elements held at once: 16 MB
_SPREAD = 4.0  # standard errors of the sample's quantile on either side

Series = Callable[[], Iterable[Tensor]]  # non-negative float64 1-D tensors; gives the same ones every time


@dataclass
class Cut:
    """What is selected: everything above ``value``, and the first ``ties`` of what equals it, in order of elements."""

    value: float
    ties: int

    def masks(self, magnitudes: Iterable[Tensor]) -> Iterator[Tensor]:
        """A boolean mask for each block of the same series, in order."""
        left = self.ties
        for block in magnitudes:
            mask, left = self.mask(block, left)
            yield mask

    def mask(self, magnitudes: Tensor, left: int) -> tuple[Tensor, int]:
        """The mask of one block when ``left`` ties may still be taken, and how many are left after it."""
        mask = magnitudes > self.value
        if left:
            equal = (magnitudes == self.value).nonzero().view(-1)[:left]
            mask[equal] = True
            left -= equal.numel()
        return mask, left


def largest(series: Series, count: int, keep: int) -> Cut:
    """Select exactly ``keep`` of the ``count`` elements of ``series``: the largest; of equals, the earliest.

    Raises `ValueError` unless 0 <= keep <= count.
    """
    if not 0 <= keep <= count:
        raise ValueError(f"cannot keep {keep} of {count}")
    if keep == 0:
        return Cut(float("inf"), 0)
    if keep == count:
        return Cut(-1.0, 0)
    low, high = _bracket(series, count, keep)
    while True:
        above, at_high, within, at_low, inside = _count(series, low, high)
        if keep <= above:  # the sample misled: the threshold lies higher
            low, high = high, float("inf")
        elif keep <= above + at_high:
            return Cut(high, keep - above)
        elif keep <= above + at_high + within:
            rank = keep - above - at_high  # of the elements within, from the largest
            if inside is not None:
                value = float(np.partition(inside, len(inside) - rank)[len(inside) - rank])
                return Cut(value, rank - int((inside > value).sum()))
            low, high = _narrow(series, low, high, within, rank)
        elif keep <= above + at_high + within + at_low:
            return Cut(low, keep - above - at_high - within)
        elif low >= 0:
            low, high = -1.0, low
        else:
            raise UserError("the values hold NaN, which has no magnitude; mend the checkpoint first")


def _bracket(series: Series, count: int, keep: int) -> tuple[float, float]:
    """Two values between which the threshold almost certainly lies."""
    stride = max(1, count // SAMPLE)
    sample = np.sort(np.concatenate([block[::stride].cpu().numpy() for block in series()]))[::-1]
    return _quantiles(sample, keep / count)


def _quantiles(descending: np.ndarray, share: float) -> tuple[float, float]:
    size = len(descending)
    spread = _SPREAD * (size * share * (1 - share)) ** 0.5 + 1
    first, last = int(size * share - spread), int(size * share + spread)
    high = float(descending[first]) if first >= 0 else float("inf")
    low = float(descending[last]) if last < size else -1.0
    return low, high


def _count(series: Series, low: float, high: float) -> tuple[int, int, int, int, np.ndarray | None]:
    """How many lie above, at ``high``, strictly between, at ``low``; and those between, unless they are too many."""
    above = at_high = within = at_low = 0
    inside: list[Tensor] | None = []
    for block in series():
        candidates = block[block >= low]
        over = candidates >= high
        beyond = int(over.sum())
        if beyond:
            higher = int((candidates > high).sum())
            above += higher
            at_high += beyond - higher
        between = candidates[~over & (candidates > low)]
        at_low += candidates.numel() - beyond - between.numel()
        within += between.numel()
        if inside is not None:
            inside.append(between)
            if within > KEPT:
                inside = None
    merged = None if inside is None else torch.cat(inside).cpu().numpy() if inside else np.empty(0)
    return above, at_high, within, at_low, merged


def _narrow(series: Series, low: float, high: float, within: int, rank: int) -> tuple[float, float]:
    """A narrower bracket inside one that holds too many: from a sample of what lies between."""
    stride, taken, seen = max(1, within // SAMPLE), [], 0
    for block in series():
        between = block[(block > low) & (block < high)]
        taken.append(between[(-seen) % stride :: stride].cpu().numpy())
        seen += between.numel()
    lower, higher = _quantiles(np.sort(np.concatenate(taken))[::-1], rank / within)
    return max(low, lower), min(high, higher)
