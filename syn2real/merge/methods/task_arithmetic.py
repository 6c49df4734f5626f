"""Sums of task vectors."""

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

    def moved(block: Block) -> Tensor:
        return block.on_base(weighted_sum(block.deltas(), factors))

    return stack.map(moved)
