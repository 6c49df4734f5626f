"""Sums of scaled tensors with one rounding. Tensors in, tensors out; no files."""

from collections.abc import Sequence

import torch
from torch import Tensor

from syn2real.merge import kernels

# Elements at a time: the float64 working copies stay in the processor's cache, and torch does not split so few among
# threads, which costs more here than it gains.
CHUNK = 1 << 15
_LOW = (1 << 29) - 1  # the bits of a float64's significand that float32 has not


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
    if kernels.taken(result, *(values for _, values in pieces)):
        kernels.combine(pieces, result)
        return result
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
        round_into(part, sum_, spare)
    return result


def round_into(result: Tensor, values: Tensor, scratch: Tensor) -> None:
    """Store float64 ``values`` in ``result``, rounded to its dtype: to nearest, ties to even.

    ``scratch`` is overwritten; its shape and dtype are those of ``values``.

    torch casts float64 to 16 bits by way of float32, which rounds twice. Rounding to odd (truncating, with the last bit
    set when anything was cut off) before the second makes the pair equal to a single one (Boldo and Melquiond, 2008).
    Exempt are bfloat16's subnormals, below 1.2e-38, where float32 loses bits of its own.
    """
    if result.dtype.itemsize < torch.float32.itemsize:
        bits, odd = values.view(torch.int64), scratch.view(torch.int64)
        torch.bitwise_and(bits, _LOW, out=odd)
        odd.add_(_LOW)  # carries into float32's last bit exactly when a lower one is set
        odd.bitwise_or_(bits).bitwise_and_(~_LOW)
        values = scratch
    result.copy_(values)
