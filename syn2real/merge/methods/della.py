"""Random sparsification that spares large elements."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.trimming import Masks, chances, limits, norm_keeping, require_share, rounded
from syn2real.merge.weighting import elected_mean, normalised, scaled, weighted_sum

Window = Literal["paper", "mergekit"]
_BINADES = 23 + 5  # bits of magnitudes in 32 binades
# Elements of a row beyond which sorting by radix is faster than by key; the first where much would be sorted again.
_MIDDLE, _LONG = 1000, 3000


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
) -> Iterator[Tensor]:
    """DELLA's dropping (see ``della``) with a plain weighted sum instead of an election of signs."""
    _check(density, epsilon, variant)
    choice = _Choice(stack, density, epsilon, variant, rescale)
    weights = normalised(weight, stack.name, wanted=normalize)

    def merged(block: Block) -> Tensor:
        deltas = choice.dropped(block)
        return block.on_base(scaled(weighted_sum(deltas, weights), scale))

    return stack.map(merged, rows=True)


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
) -> Iterator[Tensor]:
    """DELLA: within each row, drop elements with a probability that falls with their rank by magnitude; then TIES.

    pₖ rises linearly over the n ranks of a row from the largest element to the smallest, around 1 − density: from −ε/2
    to +ε/2 (``paper``), or from −ε to +ε (``mergekit``). Kept elements are rescaled by 1/(1 − pₖ), or so that the
    tensor keeps its L1 norm (``mergekit``), or not at all (``rescale: false``). A tensor with one dimension is one row.
    Source: Deep et al. 2024 (arXiv 2406.11617).
    """
    _check(density, epsilon, variant)
    choice = _Choice(stack, density, epsilon, variant, rescale)

    def merged(block: Block) -> Tensor:
        deltas = choice.dropped(block)
        return block.on_base(scaled(elected_mean(deltas, weight, election, normalize=normalize), scale))

    return stack.map(merged, rows=True)


def _check(density: Sequence[float], epsilon: Sequence[float], variant: Window) -> None:
    require_share("density", density)
    for share, width in zip(density, epsilon, strict=True):
        half = width / 2 if variant == "paper" else width
        if 0 < share < 1 and not (share - half > 0 and share + half <= 1):
            raise UserError(f"della: epsilon {width} takes density {share} out of (0, 1]; choose a smaller epsilon")


class _Choice:
    """Which elements are kept, and what they are multiplied by."""

    def __init__(
        self, stack: Stack, density: Sequence[float], epsilon: Sequence[float], variant: Window, rescale: bool
    ) -> None:
        self._row = stack.row
        self._masks = Masks(stack)
        self._density = density
        self._half = [width / 2 if variant == "paper" else width for width in epsilon]
        self._factors: Sequence[float] | None = None  # None: each element by its own 1/(1 − pₖ)
        if not rescale:
            self._factors = [1.0] * len(stack)
        elif variant == "mergekit" and stack.numel:  # ranking twice would take as long as all the rest
            keep = lambda block, i, delta: self._keep(block, i, delta, again=True)  # noqa: E731
            self._factors = norm_keeping(stack, keep, rows=True)

    def dropped(self, block: Block) -> list[Tensor]:
        """The differences of a block, in place. Once for each block."""
        deltas = block.deltas()
        for i, (delta, share) in enumerate(zip(deltas, self._density, strict=True)):
            if self._factors is None and 0 < share < 1:
                found = self._limits(i, delta)
                delta.mul_(self._masks.keep(block, i, found.numpy())).div_(chances(found, delta))
            else:
                keep = self._keep(block, i, delta)
                scaled(delta if keep is None else delta.mul_(keep), 1.0 if self._factors is None else self._factors[i])
        return deltas

    def _keep(self, block: Block, i: int, delta: Tensor, *, again: bool = False) -> Tensor | None:
        """1 for each element that is kept and 0 elsewhere; None: all are."""
        if self._density[i] in (0, 1):
            return None if self._density[i] else torch.zeros_like(delta)
        return self._masks.keep(block, i, lambda: self._limits(i, delta).numpy(), again=again)

    def _limits(self, i: int, delta: Tensor) -> Tensor:
        share, half = self._density[i], self._half[i]
        return _ranked(delta.view(-1, self._row), _by_rank(share - half, share + half, self._row))


@lru_cache(maxsize=4)
def _by_rank(least: float, most: float, count: int) -> np.ndarray:
    """The `limits` of a row's elements, from the smallest to the largest."""
    return limits(rounded(np.linspace(least, most, count) if count > 1 else np.array([(least + most) / 2])))


def _ranked(rows: Tensor, values: np.ndarray) -> Tensor:
    """The k-th of ``values`` in the place of each row's element of rank k by magnitude, the smallest first; flat.

    Magnitudes are compared in float32; of equals the earlier is smaller.
    """
    bits = rows.float().cpu().numpy().view(np.uint32)
    order = torch.from_numpy(_order(bits & np.uint32(0x7FFFFFFF)))
    sorted_values = torch.from_numpy(values).expand_as(order)
    return torch.empty(rows.shape, dtype=sorted_values.dtype).scatter_(1, order, sorted_values).view(-1)


def _order(bits: np.ndarray) -> np.ndarray:
    """The stable order of each row: int64."""
    columns = bits.shape[1]
    places = max(1, (columns - 1).bit_length())
    coarse = max(0, _BINADES + places - 32)
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
