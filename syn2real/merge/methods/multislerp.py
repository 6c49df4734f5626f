"""Spherical averages of several models in one step."""

from typing import Literal

from syn2real.merge.method import PerModel, method
from syn2real.merge.methods.karcher import spherical_mean
from syn2real.merge.stack import Stack
from syn2real.merge.sums import SparseSum, WeightedSum


@method("multislerp", base="optional")
def multislerp(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    normalize: bool = True,
    variant: Literal["tangent", "mergekit"] = "tangent",
) -> WeightedSum | SparseSum:
    """Barycentre on the sphere: directions are averaged in the tangent space at their normalised mean, and mapped back.

    θ = ‖θ‖̄ · exp_m(Σ wᵢ log_m(uᵢ)), uᵢ = θᵢ/‖θᵢ‖, ‖θ‖̄ = Σ wᵢ‖θᵢ‖, Σ wᵢ = 1; of task vectors where there is a base.
    It is the first step of ``karcher``. With ``normalize: false`` ‖θ‖̄ is Σ wᵢ‖θᵢ‖ for weights of any sum but 0.
    ``variant: mergekit`` stays at m = Σ wᵢuᵢ / ‖Σ wᵢuᵢ‖, as mergekit's method of this name does in effect;
    one model alone is taken as it is.
    """
    theirs = variant == "mergekit"
    length = 1.0 if normalize or (theirs and len(stack) == 1) else sum(weight)
    return spherical_mean(stack, weight, steps=0 if theirs else 1, tolerance=0.0, length=length)
