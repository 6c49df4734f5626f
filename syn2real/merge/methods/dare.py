"""Random sparsification of task vectors."""

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.trimming import norm_keeping, random_share, require_share, rounded
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
    factors = _factors(stack, density, variant, rescale)
    weights = normalised(weight, stack.name, wanted=normalize)

    def merged(block: Block) -> Tensor:
        deltas = _dropped(stack, block, density, factors)
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
    factors = _factors(stack, density, variant, rescale)

    def merged(block: Block) -> Tensor:
        deltas = _dropped(stack, block, density, factors)
        return block.on_base(scaled(elected_mean(deltas, weight, election, normalize=normalize), scale))

    return stack.map(merged)


def _dropped(stack: Stack, block: Block, density: Sequence[float], factors: Sequence[float]) -> list[Tensor]:
    deltas = block.deltas()
    for i, (share, factor) in enumerate(zip(density, factors, strict=True)):
        if share < 1:
            deltas[i].mul_(random_share(stack, block, i, float(rounded(share))))
        scaled(deltas[i], factor)
    return deltas


def _factors(stack: Stack, density: Sequence[float], variant: Rescale, rescale: bool) -> Sequence[float]:
    require_share("density", density)
    if not rescale:
        return [1.0] * len(stack)
    shares = [float(rounded(share)) for share in density]
    if variant == "paper" or not stack.numel:
        return [1 / share if share else 0.0 for share in shares]
    keep = lambda block, i, _: random_share(stack, block, i, shares[i]) if shares[i] < 1 else None  # noqa: E731
    return norm_keeping(stack, keep)
