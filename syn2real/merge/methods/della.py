"""Random sparsification that spares large elements."""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.trimming import norm_keeping, random_share, require_share, rounded
from syn2real.merge.weighting import elected_mean, normalised, scaled, weighted_sum

Window = Literal["paper", "mergekit"]
_REMEMBERED = 1 << 27  # elements of a tensor whose masks are kept for the second pass: 16 MB for each model
_SHORT = 1000  # elements of a row below which sorting keys is faster than by radix


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
        self._stack = stack
        self._density = density
        self._half = [width / 2 if variant == "paper" else width for width in epsilon]
        self._masks: dict[tuple[int, int], np.ndarray] = {}  # by block and model, a bit for each element
        self._factors: Sequence[float] | None = None  # None: each element by its own 1/(1 − pₖ)
        if not rescale:
            self._factors = [1.0] * len(stack)
        elif variant == "mergekit" and stack.numel:
            remember = stack.numel <= _REMEMBERED and stack.device == "cpu"
            self._factors = norm_keeping(stack, partial(self._keep, remember=remember), rows=True)

    def dropped(self, block: Block) -> list[Tensor]:
        """The differences of a block, in place. Once for each block."""
        deltas = block.deltas()
        for i, (delta, share) in enumerate(zip(deltas, self._density, strict=True)):
            if share == 0:
                delta.zero_()
            elif self._factors is not None:
                keep = self._keep(block, i, delta)
                scaled(delta if keep is None else delta.mul_(keep), self._factors[i])
            elif share < 1:
                chances = self._chances(i, delta)
                delta.mul_(random_share(self._stack, block, i, chances)).div_(chances)
        return deltas

    def _keep(self, block: Block, i: int, delta: Tensor, *, remember: bool = False) -> Tensor | None:
        """1 for each element that is kept and 0 elsewhere; None: all are."""
        if self._density[i] in (0, 1):
            return None if self._density[i] else torch.zeros_like(delta)
        packed = self._masks.pop((block.start, i), None)
        if packed is not None:
            return torch.from_numpy(np.unpackbits(packed, count=delta.numel())).to(delta.dtype)
        mask = random_share(self._stack, block, i, self._chances(i, delta))
        if remember:  # ranking twice would take as long as all the rest
            self._masks[block.start, i] = np.packbits(mask.numpy() > 0)
        return mask

    def _chances(self, i: int, delta: Tensor) -> Tensor:
        share, half, row = self._density[i], self._half[i], self._stack.row
        return _ranked(delta.view(-1, row), _by_rank(share - half, share + half, row))


@lru_cache(maxsize=4)
def _by_rank(least: float, most: float, count: int) -> np.ndarray:
    """With what probabilities the elements of a row are kept, from the smallest to the largest."""
    return rounded(np.linspace(least, most, count) if count > 1 else np.array([(least + most) / 2]))


def _ranked(rows: Tensor, values: np.ndarray) -> Tensor:
    """The k-th of ``values`` in the place of each row's element of rank k by magnitude, the smallest first; flat.

    Magnitudes are compared in float32; of equals the earlier is smaller.
    """
    order = (_by_key if rows.shape[1] < _SHORT else _by_radix)(rows.abs().float().cpu().numpy().view(np.uint32))
    sorted_values = torch.from_numpy(values).to(rows.device, rows.dtype).expand_as(rows)
    return torch.empty_like(rows).scatter_(1, torch.from_numpy(order).to(rows.device), sorted_values).view(-1)


def _by_key(bits: np.ndarray) -> np.ndarray:
    """The stable order of each row, by sorting numbers and their places as one: int64."""
    columns = bits.shape[1]
    width = columns.bit_length()
    keys = bits.astype(np.int64)
    keys <<= width
    keys |= np.arange(columns)
    keys.sort(axis=1)
    keys &= (1 << width) - 1
    return keys


def _by_radix(bits: np.ndarray) -> np.ndarray:
    """The same where rows are long: numpy sorts 16-bit numbers by radix, so it is done in two halves."""
    begin = np.arange(len(bits))[:, None] * bits.shape[1]
    order = np.argsort((bits & 0x7FFF).astype(np.uint16), axis=1, kind="stable")
    upper = (bits >> 15).astype(np.uint16).take(order + begin)
    again = np.argsort(upper, axis=1, kind="stable")
    again += begin
    return order.take(again)
