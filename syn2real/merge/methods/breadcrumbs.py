"""Sparse task vectors without their outliers."""

from collections.abc import Sequence
from typing import Literal

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Stack
from syn2real.merge.sums import SparseSum
from syn2real.merge.trimming import Trim, cuts, kept, require_share
from syn2real.merge.weighting import normalised


@method("breadcrumbs", base="required")
def breadcrumbs(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.9,),
    gamma: PerModel = (0.01,),
    scale: float = 1.0,
    normalize: bool = False,
) -> SparseSum:
    """Model breadcrumbs: drop the largest ``gamma`` of each δᵢ and the smallest, keep ``density``; sum; θ₀ + λ·that.

    ⌊gamma·n⌋ outliers go, so that a small tensor loses none; the next ⌊density·n⌋ (one at least) stay; where both do
    not fit, fewer outliers go. ``normalize`` divides the weights by their sum.
    Source: Davari and Belilovsky 2023 (arXiv 2312.06795).
    """
    weights = normalised(weight, stack.name, wanted=normalize)
    return SparseSum(stack, _band(stack, density, gamma), weights, scale)


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
) -> SparseSum:
    """Breadcrumbs' band of magnitudes with TIES' election of signs instead of a plain sum."""
    return SparseSum(stack, _band(stack, density, gamma), weight, scale, election, normalize)


def _band(stack: Stack, density: Sequence[float], gamma: Sequence[float]) -> Trim:
    require_share("density", density)
    require_share("gamma", gamma)
    keeps = [kept(share, stack.numel) for share in density]
    tops = [min(int(g * stack.numel), stack.numel - keep) for g, keep in zip(gamma, keeps, strict=True)]
    both = [top + keep for top, keep in zip(tops, keeps, strict=True)]
    return Trim(cuts(stack, both), outer=cuts(stack, tops))
