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
from syn2real.merge.trimming import random_share, require_share, rounded
from syn2real.merge.weighting import elected_mean, normalised, scaled, weighted_sum

Window = Literal["paper", "mergekit"]


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
    factors = _factors(stack, density, epsilon, variant, rescale)
    weights = normalised(weight, stack.name, wanted=normalize)

    def merged(block: Block) -> Tensor:
        deltas = _drop(block.deltas(), stack, block, density, epsilon, variant, factors)
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
    factors = _factors(stack, density, epsilon, variant, rescale)

    def merged(block: Block) -> Tensor:
        deltas = _drop(block.deltas(), stack, block, density, epsilon, variant, factors)
        return block.on_base(scaled(elected_mean(deltas, weight, election, normalize=normalize), scale))

    return stack.map(merged, rows=True)


def _check(density: Sequence[float], epsilon: Sequence[float], variant: Window) -> None:
    require_share("density", density)
    for share, width in zip(density, epsilon, strict=True):
        half = width / 2 if variant == "paper" else width
        if 0 < share < 1 and not (share - half > 0 and share + half <= 1):
            raise UserError(f"della: epsilon {width} takes density {share} out of (0, 1]; choose a smaller epsilon")


def _factors(
    stack: Stack, density: Sequence[float], epsilon: Sequence[float], variant: Window, rescale: bool
) -> list[float | None]:
    """What kept elements are multiplied by; None: each by 1/(1 − pₖ)."""
    if not rescale:
        return [1.0] * len(stack)
    if variant == "paper" or not stack.numel:
        return [None] * len(stack)

    def norms(block: Block) -> Tensor:
        deltas = block.deltas()
        whole = torch.stack([delta.abs().sum() for delta in deltas])
        _drop(deltas, stack, block, density, epsilon, variant, [1.0] * len(stack))
        return torch.stack([whole, torch.stack([delta.abs().sum() for delta in deltas])])

    whole, left = stack.sum(norms, rows=True).tolist()
    return [a / b if b else 0.0 for a, b in zip(whole, left, strict=True)]


def _drop(
    deltas: list[Tensor],
    stack: Stack,
    block: Block,
    density: Sequence[float],
    epsilon: Sequence[float],
    variant: Window,
    factors: Sequence[float | None],
) -> list[Tensor]:
    for i, (share, width) in enumerate(zip(density, epsilon, strict=True)):
        if share == 0:
            deltas[i].zero_()
        elif share < 1:
            half = width / 2 if variant == "paper" else width
            keep = _ranked(deltas[i].view(-1, stack.row), _chances(share - half, share + half, stack.row))
            deltas[i].mul_(random_share(stack, block, i, keep))
            factor = factors[i]
            if factor is None:
                deltas[i].div_(keep)
            else:
                deltas[i].mul_(factor)
    return deltas


@lru_cache(maxsize=4)
def _chances(least: float, most: float, count: int) -> np.ndarray:
    """With what probabilities the elements of a row are kept, from the smallest to the largest."""
    return rounded(np.linspace(least, most, count) if count > 1 else np.array([(least + most) / 2]))


def _ranked(rows: Tensor, values: np.ndarray) -> Tensor:
    """The k-th of ``values`` in the place of each row's element of rank k by magnitude, the smallest first; flat.

    Magnitudes are compared in float32; of equals the earlier is smaller. numpy sorts 16-bit numbers by radix, eight
    times as fast as wider ones, so it is done in two halves.
    """
    bits = rows.abs().float().cpu().numpy().view(np.uint32)
    begin = np.arange(len(bits))[:, None] * bits.shape[1]
    order = np.argsort((bits & 0x7FFF).astype(np.uint16), axis=1, kind="stable")
    order += begin
    upper = (bits >> 15).astype(np.uint16).take(order)
    again = np.argsort(upper, axis=1, kind="stable")
    again += begin
    places = order.take(again).ravel()
    result = np.empty(bits.size)
    result[places] = np.tile(values, len(bits))
    return torch.from_numpy(result).to(rows.device, rows.dtype)
