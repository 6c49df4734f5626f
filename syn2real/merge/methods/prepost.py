"""Interpolating a model before and after fine-tuning."""

from collections.abc import Iterator

from torch import Tensor

from syn2real.merge.method import method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.weighting import weighted_sum


@method("prepost", base="required", models=(1, 1))
def prepost(stack: Stack, *, scale: float = 0.5) -> Iterator[Tensor]:
    """Pre/post interpolation: θ = (1 − λ)·θ_base + λ·θ_tuned, which keeps an aligned model's safety (Safeguard).

    The base is the model before fine-tuning, the one model that after it. Source: Farn et al. 2025 (arXiv 2412.19512).
    """

    def merged(block: Block) -> Tensor:
        assert block.base is not None
        return weighted_sum([block.base, *block.models], [1 - scale, scale])  # exact at both ends

    return stack.map(merged)
