"""Sums of scaled tensors with one rounding. Tensors in, tensors out; no files."""

from collections.abc import Sequence

import torch
from torch import Tensor

CHUNK = 1 << 17  # elements at a time: the float64 working copies stay in the processor's cache


def combine(pieces: Sequence[tuple[float, Tensor]], dtype: torch.dtype) -> Tensor:
    """Σ cᵢ·xᵢ over 1-D floating-point tensors of one length, rounded once to ``dtype``.

    The sum runs in float64, so that a float32 result is as good as correctly rounded and a 16-bit one has no second
    rounding. Multiplication and addition stay separate operations: fused, the last bit would depend on where a chunk
    begins. A single piece with coefficient 1 and the same dtype is returned as it is, bit by bit.
    """
    if len(pieces) == 1 and pieces[0][0] == 1.0 and pieces[0][1].dtype == dtype:
        return pieces[0][1]
    result = torch.empty(pieces[0][1].numel(), dtype=dtype)
    for start in range(0, result.numel(), CHUNK):
        part = slice(start, start + CHUNK)
        result[part] = round_to(accumulate([(c, x[part]) for c, x in pieces]), dtype)
    return result


def accumulate(pieces: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Σ cᵢ·xᵢ in float64, in the order given; a new tensor."""
    total: Tensor | None = None
    for coefficient, values in pieces:
        term = values.to(torch.float64, copy=True)
        if coefficient != 1.0:
            term.mul_(coefficient)
        total = term if total is None else total.add_(term)
    if total is None:
        raise ValueError("an empty sum has no shape")
    return total


def round_to(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Float64 values rounded to the nearest ``dtype``, ties to even.

    torch casts float64 to 16 bits by way of float32, which rounds twice. Rounding the first time to odd (Boldo and
    Melquiond, 2008) makes the pair of roundings equal to a single one.
    """
    if dtype in (torch.float64, torch.float32):
        return values.to(dtype)
    return _round_to_odd(values).to(dtype)


def _round_to_odd(values: Tensor) -> Tensor:
    """Float64 to float32: exact where possible, else of the two neighbours the one with an odd last bit."""
    near = values.to(torch.float32)
    back = near.to(torch.float64)
    bits = near.view(torch.int32)  # sign and magnitude: one less is one step towards zero
    bits.sub_((back.abs() > values.abs()).to(torch.int32))
    bits.bitwise_or_((back != values).to(torch.int32))
    return near
