"""Spherical averages of several models in one step."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from syn2real.merge.method import PerModel, method
from syn2real.merge.methods.karcher import spherical_mean
from syn2real.merge.stack import Stack


@method("multislerp", base="optional", models=(2, None))
def multislerp(
    stack: Stack, *, weight: PerModel = (1.0,), variant: Literal["tangent", "mergekit"] = "tangent"
) -> Iterator[Tensor]:
    """Barycentre on the sphere: directions are averaged in the tangent space at their normalised mean, and mapped back.

    θ = ‖θ‖̄ · exp_m(Σ wᵢ log_m(uᵢ)), uᵢ = θᵢ/‖θᵢ‖, ‖θ‖̄ = Σ wᵢ‖θᵢ‖, Σ wᵢ = 1; of task vectors where there is a base.
    It is the first step of ``karcher``. ``variant: mergekit`` stays at m = Σ wᵢuᵢ / ‖Σ wᵢuᵢ‖, as mergekit's method of
    this name does in effect.
    """
    return spherical_mean(stack, weight, steps=0 if variant == "mergekit" else 1, tolerance=0.0)
