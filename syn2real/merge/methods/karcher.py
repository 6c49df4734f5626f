"""The Riemannian mean of several models' directions."""

from collections.abc import Sequence

from syn2real.merge.method import PerModel, method
from syn2real.merge.spherical import karcher_weights
from syn2real.merge.stack import Stack
from syn2real.merge.sums import SparseSum, WeightedSum, sum_of_vectors
from syn2real.merge.weighting import normalised


@method("karcher", base="optional")
def karcher(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    max_iter: int = 10,
    tol: float = 1e-5,
) -> WeightedSum | SparseSum:
    """Karcher mean: the direction whose summed squared angles to all models' directions is least.

    m ← exp_m(Σ wᵢ log_m(uᵢ)) until the step is below ``tol`` radians or after ``max_iter`` of them; θ = m · Σ wᵢ‖θᵢ‖.
    Of task vectors where there is a base. Source: Karcher 1977.
    """
    return spherical_mean(stack, weight, steps=max_iter, tolerance=tol)


def spherical_mean(
    stack: Stack, weight: Sequence[float], *, steps: int, tolerance: float, length: float = 1.0
) -> WeightedSum | SparseSum:
    """The mean of directions after ``steps`` steps, ``length`` times the mean norm; see `karcher_weights`."""
    shares = normalised(weight, stack.name)
    weights = karcher_weights(stack.gram(deltas=stack.has_base), shares, steps=steps, tolerance=tolerance)
    return sum_of_vectors(stack, [length * share for share in weights])
