"""Random sparsification that spares large elements."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge import kernels
from syn2real.merge.method import PerModel, method
from syn2real.merge.norms import norm_keeping
from syn2real.merge.stack import Block, Stack
from syn2real.merge.sums import SparseSum
from syn2real.merge.trimming import chances, limits, require_share, rounded
from syn2real.merge.weighting import normalised, scaled

Window = Literal["paper", "mergekit"]
_BINADES = 23 + 5  # bits of magnitudes in 32 binades
# Elements of a row beyond which sorting by radix is faster than by key; the first where much would be sorted again.
_MIDDLE, _LONG = 1000, 3000
_NOTED = 1 << 27  # elements of a tensor whose masks are kept for a second pass: 16 MB for each model


@method("della_linear", base="required")
def della_linear(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    epsilon: PerModel = (0.1,),
    scale: float = 1.0,
    normalize: bool = False,
    rescale: bool = True,
    variant: Window = "paper",
) -> SparseSum:
    """DELLA's dropping (see ``della``) with a plain weighted sum instead of an election of signs."""
    weights = normalised(weight, stack.name, wanted=normalize)
    return SparseSum(stack, _Choice(stack, density, epsilon, variant, rescale), weights, scale)


@method("della", base="required")
def della(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    epsilon: PerModel = (0.1,),
    scale: float = 1.0,
    normalize: bool = True,
    rescale: bool = True,
    variant: Window = "paper",
    election: Literal["mergekit", "peft"] = "mergekit",
) -> SparseSum:
    """DELLA: within each row, drop elements with a probability that falls with their rank by magnitude; then TIES.

    pₖ rises linearly over the n ranks of a row from the largest element to the smallest, around 1 − density: from −ε/2
    to +ε/2 (``paper``), or from −ε to +ε (``mergekit``). Kept elements are rescaled by 1/(1 − pₖ), or so that the
    tensor keeps its L1 norm (``mergekit``), or not at all (``rescale: false``). A tensor with one dimension is one row.
    Source: Deep et al. 2024 (arXiv 2406.11617).
    """
    return SparseSum(stack, _Choice(stack, density, epsilon, variant, rescale), weight, scale, election, normalize)


class _Choice:
    """Which elements are kept, and what they are multiplied by: a `Choice`."""

    rows = True

    def __init__(
        self, stack: Stack, density: Sequence[float], epsilon: Sequence[float], variant: Window, rescale: bool
    ) -> None:
        _check(density, epsilon, variant)
        self._stack = stack
        self._density = density
        self._half = [width / 2 if variant == "paper" else width for width in epsilon]
        self._masks: dict[tuple[int, int], np.ndarray] = {}  # as bits, by block and model: ranking takes long
        self._factors: Sequence[float] | None = None  # None: each element by its own 1/(1 − pₖ)
        self._noting = False
        if not rescale or variant == "mergekit":
            self._factors = [1.0] * len(stack)
        if rescale and variant == "mergekit" and stack.numel:
            self._noting = stack.numel <= _NOTED
            self._factors = norm_keeping(stack, self, self._noted)
            self._noting = False

    def dropped(self, block: Block) -> list[Tensor]:
        """See `Choice.dropped`."""
        deltas = block.deltas()
        for i, (delta, share) in enumerate(zip(deltas, self._density, strict=True)):
            if self._factors is None and 0 < share < 1:
                found = self._limits(i, delta)
                delta.mul_(self._drawn(block, i, found)).div_(chances(torch.from_numpy(found), delta))
                continue
            if share < 1:
                delta.mul_(self._mask(block, i, delta) if share else 0.0)
            scaled(delta, 1.0 if self._factors is None else self._factors[i])
        return deltas

    def rule(self, part: kernels.Part, i: int, start: int, model: Tensor, base: Tensor) -> Any:
        """See `Choice.rule`."""
        share = self._density[i]
        factor = 1.0 if self._factors is None else self._factors[i]
        part.factor = factor if share else 0.0 * factor  # NaN stays NaN
        if share in (0, 1):
            return None
        mask = self._recalled(start, i, model.numel())
        if mask is None:
            found = self._limits(i, model, base)
            if not self._noting:
                part.rule = kernels.RESCALED if self._factors is None else kernels.DRAWN
                part.seed, part.limits, part.each = self._stack.stream(i), found.ctypes.data, True
                return found
            mask = self._note(start, i, self._stack.kept(i, start, start + len(found), found))
        part.rule, part.mask = kernels.MASKED, mask.ctypes.data
        return mask

    def _noted(self, block: Block, i: int, delta: Tensor) -> Tensor | None:
        """What is multiplied with a difference, kept for when it is asked for again; None: nothing."""
        if self._density[i] in (0, 1):
            return None if self._density[i] else torch.zeros_like(delta)
        mask = self._mask(block, i, delta)
        if self._noting:
            self._note(block.start, i, mask)
        return mask

    def _note(self, start: int, i: int, mask: Tensor) -> np.ndarray:
        kept = mask.bool().cpu().numpy()
        self._masks[start, i] = np.packbits(kept)
        return kept.view(np.uint8)

    def _mask(self, block: Block, i: int, delta: Tensor) -> Tensor:
        """1 for each element that is kept and 0 elsewhere."""
        mask = self._recalled(block.start, i, delta.numel())
        if mask is None:
            return self._drawn(block, i, self._limits(i, delta))
        return torch.from_numpy(mask).to(delta.device).to(delta.dtype)

    def _recalled(self, start: int, i: int, count: int) -> np.ndarray | None:
        """The mask that was noted, uint8; once."""
        bits = self._masks.pop((start, i), None)
        return None if bits is None else np.unpackbits(bits, count=count)

    def _drawn(self, block: Block, i: int, limits: np.ndarray) -> Tensor:
        return self._stack.kept(i, block.start, block.start + len(limits), limits)

    def _limits(self, i: int, model: Tensor, base: Tensor | None = None) -> np.ndarray:
        """For every element of model − base, the `limits` of its rank."""
        share, half, row = self._density[i], self._half[i], self._stack.row
        return _ranked(model, base, row, _by_rank(share - half, share + half, row))


def _check(density: Sequence[float], epsilon: Sequence[float], variant: Window) -> None:
    require_share("density", density)
    for share, width in zip(density, epsilon, strict=True):
        half = width / 2 if variant == "paper" else width
        if 0 < share < 1 and not (share - half > 0 and share + half <= 1):
            raise UserError(f"della: epsilon {width} takes density {share} out of (0, 1]; choose a smaller epsilon")


@lru_cache(maxsize=4)
def _by_rank(least: float, most: float, count: int) -> np.ndarray:
    """The `limits` of a row's elements, from the smallest to the largest."""
    return limits(rounded(np.linspace(least, most, count) if count > 1 else np.array([(least + most) / 2])))


def _ranked(model: Tensor, base: Tensor | None, columns: int, by_rank: np.ndarray) -> np.ndarray:
    """The k-th of ``by_rank`` in the place of the element of rank k by magnitude, the smallest first, of each row of
    model − base: flat.

    Magnitudes are compared in float32; of equals the earlier is smaller.
    """
    pair = [model] if base is None else [model, base]
    if columns <= _LONG and kernels.taken(*pair):
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
