"""Weighted averages: model soups."""

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Stack
from syn2real.merge.sums import WeightedSum
from syn2real.merge.weighting import normalised


@method("linear")
def linear(stack: Stack, *, weight: PerModel = (1.0,), normalize: bool = True) -> WeightedSum:
    """Weighted average: θ = Σ wᵢθᵢ / Σ wᵢ.

    With ``normalize: false`` the sum is not divided. Weights that sum to 0 cannot be normalised: an error.
    Source: model soups, Wortsman et al. 2022 (arXiv 2203.05482).
    """
    weights = normalised(weight, stack.name, wanted=normalize)
    return WeightedSum(stack, weights)
