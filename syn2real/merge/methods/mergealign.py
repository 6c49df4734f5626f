"""Interpolating a domain expert and an aligned model."""

from syn2real.merge.method import method
from syn2real.merge.stack import Stack
from syn2real.merge.sums import Everything, SparseSum


@method("mergealign", base="required", models=(2, 2))
def mergealign(stack: Stack, *, alpha: float = 0.5) -> SparseSum:
    """MergeAlign: θ = θ_pre + α(θ_domain − θ_pre) + (1 − α)(θ_aligned − θ_pre); models in the order domain, aligned.

    Source: Thakkar et al. 2025 (arXiv 2411.06824).
    """
    return SparseSum(stack, Everything(), [alpha, 1 - alpha])
