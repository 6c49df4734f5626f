"""Random sparsification of task vectors."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.trimming import Masks, limits, norm_keeping, require_share, rounded
from syn2real.merge.weighting import elected_mean, normalised, scaled, weighted_sum

Rescale = Literal["paper", "mergekit"]


@method("dare_linear", base="required")
def dare_linear(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    scale: float = 1.0,
    normalize: bool = False,
    rescale: bool = True,
    variant: Rescale = "paper",
) -> Iterator[Tensor]:
    """DARE: drop each element of δᵢ with probability p = 1 − density, rescale the rest by 1/(1 − p), sum; θ₀ + λ·that.

    ``variant: mergekit`` rescales so that the tensor keeps its L1 norm instead, ``rescale: false`` not at all.
    ``normalize`` divides the weights by their sum. Source: Yu et al. 2024
    (arXiv 2311.03099).
    """
    choice = _Choice(stack, density, variant, rescale)
    weights = normalised(weight, stack.name, wanted=normalize)

    def merged(block: Block) -> Tensor:
        deltas = choice.dropped(block)
        return block.on_base(scaled(weighted_sum(deltas, weights), scale))

    return stack.map(merged)


@method("dare_ties", base="required")
def dare_ties(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    scale: float = 1.0,
    normalize: bool = True,
    rescale: bool = True,
    variant: Rescale = "paper",
    election: Literal["mergekit", "peft"] = "mergekit",
) -> Iterator[Tensor]:
    """DARE's dropping with TIES' election of signs instead of a plain sum; see ``dare_linear`` and ``ties``."""
    choice = _Choice(stack, density, variant, rescale)

    def merged(block: Block) -> Tensor:
        deltas = choice.dropped(block)
        return block.on_base(scaled(elected_mean(deltas, weight, election, normalize=normalize), scale))

    return stack.map(merged)


class _Choice:
    """Which elements are kept, and what they are multiplied by."""

    def __init__(self, stack: Stack, density: Sequence[float], variant: Rescale, rescale: bool) -> None:
        require_share("density", density)
        self._masks = Masks(stack)
        self._shares = [float(rounded(share)) for share in density]
        self._factors: Sequence[float] = [1.0] * len(stack)
        if rescale and (variant == "paper" or not stack.numel):
            self._factors = [1 / share if share else 0.0 for share in self._shares]
        elif rescale:
            self._factors = norm_keeping(stack, lambda block, i, delta: self._keep(block, i, delta, again=True))

    def dropped(self, block: Block) -> list[Tensor]:
        """The differences of a block, in place. Once for each block."""
        deltas = block.deltas()
        for i, (delta, factor) in enumerate(zip(deltas, self._factors, strict=True)):
            keep = self._keep(block, i, delta)
            scaled(delta if keep is None else delta.mul_(keep), factor)
        return deltas

    def _keep(self, block: Block, i: int, delta: Tensor, *, again: bool = False) -> Tensor | None:
        """1 for each element that is kept and 0 elsewhere; None: all are."""
        share = self._shares[i]
        if share in (0, 1):
            return None if share else torch.zeros_like(delta)
        return self._masks.keep(block, i, limits(share), again=again)
