"""Interpolating a domain expert and an aligned model."""

from collections.abc import Iterator

from torch import Tensor

from syn2real.merge.method import method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.weighting import weighted_sum


@method("mergealign", base="required", models=(2, 2))
def mergealign(stack: Stack, *, alpha: float = 0.5) -> Iterator[Tensor]:
    """MergeAlign: θ = θ_pre + α(θ_domain − θ_pre) + (1 − α)(θ_aligned − θ_pre); models in the order domain, aligned.

    Source: Thakkar et al. 2025 (arXiv 2411.06824).
    """

    def merged(block: Block) -> Tensor:
        return block.on_base(weighted_sum(block.deltas(), [alpha, 1 - alpha]))

    return stack.map(merged)
