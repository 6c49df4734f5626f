"""Sums of task vectors."""

import math

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Stack
from syn2real.merge.sums import WeightedSum
from syn2real.merge.weighting import normalised


@method("task_arithmetic", base="required")
def task_arithmetic(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    scale: float = 1.0,
    normalize: bool = False,
) -> WeightedSum:
    """Sum of task vectors: θ = θ₀ + λ Σ wᵢ(θᵢ − θ₀), with λ = ``scale``.

    ``normalize`` divides the weights by their sum. Source: Ilharco et al. 2023 (arXiv 2212.04089).
    """
    weights = normalised(weight, stack.name, wanted=normalize)
    factors = [scale * w for w in weights]
    # θ₀ + Σ λwᵢ(θᵢ − θ₀) = (1 − Σ λwᵢ)θ₀ + Σ λwᵢθᵢ
    return WeightedSum(stack, factors, 1 - math.fsum(factors))
