"""Sparse task vectors without their outliers."""

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.trimming import cuts, kept, require_share
from syn2real.merge.weighting import elected_mean, normalised, scaled, weighted_sum


@method("breadcrumbs", base="required")
def breadcrumbs(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.9,),
    gamma: PerModel = (0.01,),
    scale: float = 1.0,
    normalize: bool = False,
) -> Iterator[Tensor]:
    """Model breadcrumbs: drop the largest ``gamma`` of each δᵢ and the smallest, keep ``density``; sum; θ₀ + λ·that.

    ⌊gamma·n⌋ outliers go, so that a small tensor loses none; the next ⌊density·n⌋ (one at least) stay; where both do
    not fit, fewer outliers go. ``normalize`` divides the weights by their sum.
    Source: Davari and Belilovsky 2023 (arXiv 2312.06795).
    """

    weights = normalised(weight, stack.name, wanted=normalize)

    def merged() -> Iterator[Tensor]:
        for block, deltas in _band(stack, density, gamma):
            yield block.on_base(scaled(weighted_sum(deltas, weights), scale))

    return merged()


@method("breadcrumbs_ties", base="required")
def breadcrumbs_ties(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.9,),
    gamma: PerModel = (0.01,),
    scale: float = 1.0,
    normalize: bool = True,
    election: Literal["mergekit", "peft"] = "mergekit",
) -> Iterator[Tensor]:
    """Breadcrumbs' band of magnitudes with TIES' election of signs instead of a plain sum."""

    def merged() -> Iterator[Tensor]:
        for block, deltas in _band(stack, density, gamma):
            yield block.on_base(scaled(elected_mean(deltas, weight, election, normalize=normalize), scale))

    return merged()


def _band(stack: Stack, density: Sequence[float], gamma: Sequence[float]) -> Iterator[tuple[Block, list[Tensor]]]:
    require_share("density", density)
    require_share("gamma", gamma)
    keeps = [kept(share, stack.numel) for share in density]
    tops = [min(int(g * stack.numel), stack.numel - keep) for g, keep in zip(gamma, keeps, strict=True)]
    both = [top + keep for top, keep in zip(tops, keeps, strict=True)]
    without, within = cuts(stack, tops), cuts(stack, both)
    left = [[cut.ties for cut in without], [cut.ties for cut in within]]
    for block in stack.blocks():
        deltas = block.deltas()
        for i, delta in enumerate(deltas):
            out, left[0][i] = without[i].trim(delta, left[0][i])
            keep, left[1][i] = within[i].trim(delta, left[1][i])
            deltas[i] = keep - out
        yield block, deltas
