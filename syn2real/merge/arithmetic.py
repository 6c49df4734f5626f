"""Sums of scaled tensors with one rounding. Tensors in, tensors out; no files."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# Elements at a time: the float64 working copies stay in the processor's cache, and torch does not split so few among
# threads, which costs more here than it gains.
CHUNK = 1 << 15


def combine(pieces: Sequence[tuple[float, Tensor]], dtype: torch.dtype) -> Tensor:
    """Σ cᵢ·xᵢ over 1-D floating-point tensors of one length, rounded once to ``dtype``.

    The sum runs in float64, so that a float32 result is as good as correctly rounded and a 16-bit one has no second
    rounding. Multiplication and addition stay separate operations: fused, the last bit would depend on where a chunk
    begins. A single piece with coefficient 1 and the same dtype is returned as it is, bit by bit.
    """
    if not pieces:
        raise ValueError("an empty sum has no shape")
    first = pieces[0][1]
    if len(pieces) == 1 and pieces[0][0] == 1.0 and first.dtype == dtype:
        return first
    result = torch.empty(first.numel(), dtype=dtype)
    size = min(CHUNK, result.numel())
    # Allocated once: a fresh megabyte for each step costs more than the arithmetic.
    total, scratch = torch.empty(size, dtype=torch.float64), torch.empty(size, dtype=torch.float64)
    for start in range(0, result.numel(), CHUNK):
        part = result[start : start + CHUNK]
        sum_, spare = total[: part.numel()], scratch[: part.numel()]
        for index, (coefficient, values) in enumerate(pieces):
            target = spare if index else sum_
            target.copy_(values[start : start + CHUNK])
            if coefficient != 1.0:
                target.mul_(coefficient)
            if index:
                sum_.add_(spare)
        round_into(part, sum_)
    return result


def round_into(result: Tensor, values: Tensor) -> None:
    """Store float64 ``values`` in ``result``, both on the processor, rounded to its dtype: to nearest, ties to even.

    torch casts float64 to 16 or 8 bits by way of float32, and rounding twice errs where the first lands halfway between
    two numbers of the second. Such a number is taken a step towards the value that it stands for, which is what
    rounding to odd would have made of it (Boldo and Melquiond, 2008), so that the second decides rightly.
    """
    if result.dtype.itemsize < torch.float32.itemsize:
        exact, values = values.numpy(), values.to(torch.float32)
        nearest = values.numpy()
        found = _halfway(nearest.view(np.int32), result.dtype)
        wanted, got = np.abs(exact[found]), np.abs(nearest[found])
        nearest.view(np.int32)[found] += (wanted > got).astype(np.int32) - (wanted < got)
    result.copy_(values)


def _halfway(bits: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """The places of float32 numbers, given by their bits, that may lie halfway between two of a narrower ``dtype``."""
    info = torch.finfo(dtype)
    half = 1 << (22 + round(math.log2(info.eps)))  # the first bit of those that are dropped
    found = np.flatnonzero(bits & (2 * half - 1) == half)
    if info.smallest_normal > torch.finfo(torch.float32).smallest_normal:  # below it more bits are dropped
        least = int(np.float32(info.smallest_normal).view(np.int32))
        found = np.union1d(found, np.flatnonzero(bits & 0x7FFFFFFF < least))
    return found
