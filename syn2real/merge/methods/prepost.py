"""Interpolating a model before and after fine-tuning."""

from syn2real.merge.method import method
from syn2real.merge.stack import Stack
from syn2real.merge.sums import WeightedSum


@method("prepost", base="required", models=(1, 1))
def prepost(stack: Stack, *, scale: float = 0.5) -> WeightedSum:
    """Pre/post interpolation: θ = (1 − λ)·θ_base + λ·θ_tuned, which keeps an aligned model's safety (Safeguard).

    The base is the model before fine-tuning, the one model that after it. Source: Farn et al. 2025 (arXiv 2412.19512).
    """

    return WeightedSum(stack, [scale], 1 - scale)  # exact at both ends
