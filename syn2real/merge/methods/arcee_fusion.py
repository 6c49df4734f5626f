"""Fusing into a base only what matters of one other model."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from syn2real.merge.method import method
from syn2real.merge.selection import largest
from syn2real.merge.stack import Block, Stack


@method("arcee_fusion", base="required", models=(1, 1))
def arcee_fusion(stack: Stack) -> Iterator[Tensor]:
    """Arcee Fusion: take an element of the model where its importance is above median + 1.5 × interquartile range.

    Importance is |θ₁ − θ₀| × KL(softmax(θ₁ row) ‖ softmax(θ₀ row)); elsewhere the base stays. Quartiles interpolate
    linearly. A tensor with one dimension is one row. Source: mergekit's Arcee Fusion.
    """
    if not stack.numel:
        return iter(())

    def importance(block: Block) -> Tensor:
        assert block.base is not None
        p, q = block.models[0].view(-1, stack.row).log_softmax(1), block.base.view(-1, stack.row).log_softmax(1)
        divergence = (p.exp() * (p - q)).sum(1, keepdim=True).clamp_(min=0)
        return ((block.models[0] - block.base).abs().view(-1, stack.row) * divergence).view(-1)

    lower, median, upper = (
        _quantile(lambda: stack.map(importance, rows=True), stack.numel, share) for share in (0.25, 0.5, 0.75)
    )
    threshold = median + 1.5 * (upper - lower)

    def fused(block: Block) -> Tensor:
        assert block.base is not None
        return torch.where(importance(block) >= threshold, block.models[0], block.base)

    return stack.map(fused, rows=True)


def _quantile(series: Callable[[], Iterator[Tensor]], count: int, share: float) -> float:
    """The value below which ``share`` of the elements lie, between its neighbours in order of size."""
    place = share * (count - 1)
    below = int(np.floor(place))
    low = largest(series, count, count - below).value if count - below < count else _least(series)
    high = largest(series, count, count - below - 1).value if below + 1 < count else low
    return low + (high - low) * (place - below)


def _least(series: Callable[[], Iterator[Tensor]]) -> float:
    return min(float(block.min()) for block in series())
