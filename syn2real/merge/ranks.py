"""What hangs on an element's rank by magnitude among those of its row.

Magnitudes are compared in float32; of equals the earlier is smaller.
"""

from functools import cached_property

import numpy as np
from torch import Tensor

from syn2real.merge import kernels
from syn2real.merge.draws import sixteen_bits

_BINADES = 23 + 5  # bits of magnitudes in 32 binades
# Elements of a row beyond which sorting by radix is faster than by key; the first where much would be sorted again.
_MIDDLE, _LONG = 1000, 3000


class ByRank:
    """For every rank of a row, the smallest first, the largest of `Stack.draws` with which its element is kept: int16
    ``limits``, none of which is lower than the one before."""

    def __init__(self, limits: np.ndarray) -> None:
        self.limits = limits

    @cached_property
    def least(self) -> np.ndarray:
        """For every number above the first limit, up to the last, the first rank that is kept with it: uint16."""
        first, last = int(self.limits[0]), int(self.limits[-1])
        return np.searchsorted(self.limits, np.arange(first + 1, last + 1)).astype(np.uint16)


def kept_by_rank(
    model: Tensor, base: Tensor | None, columns: int, by_rank: ByRank, seed: int, first: int
) -> np.ndarray:
    """1 for every element of model − base whose number in the stream ``seed``, from ``first`` on, is at most the limit
    of its rank, 0 elsewhere: uint8, flat.

    Only where the number lies between the limits does the rank matter at all, and seldom exactly.
    """
    if columns < 1 << 16 and kernels.taken(*_present(model, base)):
        return kernels.keep_by_rank(model, base, columns, seed, first, by_rank.limits, by_rank.least)
    found = placed_by_rank(model, base, columns, by_rank.limits)
    return (sixteen_bits(seed, first, first + len(found)).view(np.int16) <= found).view(np.uint8)


def placed_by_rank(model: Tensor, base: Tensor | None, columns: int, by_rank: np.ndarray) -> np.ndarray:
    """The k-th of ``by_rank`` in the place of the element of rank k, the smallest first, of each row of model − base:
    flat."""
    if columns <= _LONG and kernels.taken(*_present(model, base)):
        places, coarse = _widths(columns)
        bits, keys = kernels.rank_keys(model, base, columns, places, coarse, 1 << _BINADES)
        keys.sort(axis=1)
        ranked, wrong = kernels.rank_places(keys, bits, places, by_rank)
        if wrong.any():
            ranked[wrong] = _placed(_by_radix(bits[wrong]), by_rank)
        return ranked.reshape(-1)
    deltas = model if base is None else model.double() - base.double()
    bits = deltas.float().cpu().numpy().view(np.uint32).reshape(-1, columns)
    return _placed(_order(bits & np.uint32(0x7FFFFFFF)), by_rank).reshape(-1)


def _placed(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The k-th of ``values`` in the place that stands at k of each row's ``order``."""
    placed = np.empty(order.shape, dtype=values.dtype)
    np.put_along_axis(placed, order, np.broadcast_to(values, order.shape), axis=1)
    return placed


def _widths(columns: int) -> tuple[int, int]:
    """Bits for an element's place in a key of 32, and bits of its magnitude for which there is no room."""
    places = max(1, (columns - 1).bit_length())
    return places, max(0, _BINADES + places - 32)


def _order(bits: np.ndarray) -> np.ndarray:
    """The stable order of each row: int64."""
    columns = bits.shape[1]
    places, coarse = _widths(columns)
    if columns > _LONG or (columns > _MIDDLE and np.count_nonzero(bits & ((1 << coarse) - 1)) > bits.size >> 3):
        return _by_radix(bits)
    order = _by_key(bits, places, coarse)
    # Rows in which two numbers that differ had the same key may be in disorder.
    found = np.take(bits, order + np.arange(len(bits))[:, None] * columns)
    wrong = (found[:, 1:] < found[:, :-1]).any(axis=1)
    if wrong.any():
        order[wrong] = _by_radix(bits[wrong])
    return order


def _by_key(bits: np.ndarray, places: int, coarse: int) -> np.ndarray:
    """The order of each row by sorting numbers and their places as one, in 32 bits.

    What is more than 32 binades below the largest number, and the last ``coarse`` bits, find no room.
    """
    floor = np.uint32(max(0, int(bits.max(initial=0)) - (1 << _BINADES) + 1))
    keys = np.maximum(bits, floor)
    keys -= floor
    keys >>= np.uint32(coarse)
    keys <<= np.uint32(places)
    keys |= np.arange(bits.shape[1], dtype=np.uint32)
    keys.sort(axis=1)
    keys &= np.uint32((1 << places) - 1)
    return keys.astype(np.int64)


def _by_radix(bits: np.ndarray) -> np.ndarray:
    """The same exactly: numpy sorts 16-bit numbers by radix, so it is done in two halves."""
    begin = np.arange(len(bits))[:, None] * bits.shape[1]
    order = np.argsort((bits & 0x7FFF).astype(np.uint16), axis=1, kind="stable")
    upper = (bits >> 15).astype(np.uint16).take(order + begin)
    again = np.argsort(upper, axis=1, kind="stable")
    again += begin
    return order.take(again)


def _present(model: Tensor, base: Tensor | None) -> list[Tensor]:
    return [model] if base is None else [model, base]
