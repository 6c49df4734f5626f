"""Sums of task vectors."""

import math
from collections.abc import Iterator

from torch import Tensor

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.weighting import normalised, weighted_sum


@method("task_arithmetic", base="required")
def task_arithmetic(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    scale: float = 1.0,
    normalize: bool = False,
) -> Iterator[Tensor]:
    """Sum of task vectors: θ = θ₀ + λ Σ wᵢ(θᵢ − θ₀), with λ = ``scale``.

    ``normalize`` divides the weights by their sum. Source: Ilharco et al. 2023 (arXiv 2212.04089).
    """
    weights = normalised(weight, stack.name, wanted=normalize)
    factors = [scale * w for w in weights]
    own = 1 - math.fsum(factors)  # θ₀ + Σ λwᵢ(θᵢ − θ₀) = (1 − Σ λwᵢ)θ₀ + Σ λwᵢθᵢ, with fewer passes over the data

    def moved(block: Block) -> Tensor:
        assert block.base is not None
        return weighted_sum([block.base, *block.models], [own, *factors])

    return stack.map(moved)
