"""Spherical interpolation of two models."""

from syn2real.merge.method import method
from syn2real.merge.spherical import slerp_weights
from syn2real.merge.stack import Stack
from syn2real.merge.sums import WeightedSum


@method("slerp", base="first", models=(2, 2))
def slerp(stack: Stack, *, t: float = 0.5) -> WeightedSum:
    """Spherical interpolation: θ = [sin((1−t)Ω)·θ₁ + sin(tΩ)·θ₂] / sin Ω, Ω the angle between the two tensors.

    t = 0 is the first model (in a recipe with ``base``: the base), t = 1 the second. Parallel tensors, and those beside
    an all-zero one, are interpolated linearly; between antiparallel ones the nearer end is taken.
    Source: Shoemake 1985.
    """
    weights = slerp_weights(stack.gram(), t)
    return WeightedSum(stack, weights)
