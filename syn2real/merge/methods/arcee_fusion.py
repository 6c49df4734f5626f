"""Fusing into a base only what matters of one other model."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.method import method
from syn2real.merge.selection import largest
from syn2real.merge.stack import Block, Stack


@method("arcee_fusion", base="required", models=(1, 1))
def arcee_fusion(stack: Stack) -> Iterator[Tensor]:
    """Arcee Fusion: take an element of the model where its importance is at least median + 1.5 × interquartile range.

    Importance is |θ₁ − θ₀| × KL(softmax(θ₁ row) ‖ softmax(θ₀ row)); elsewhere the base stays. A quartile is an element:
    the one of rank ⌊q(n − 1)⌋. A tensor with one dimension is one row. Rows of one element have no importance, and are
    the model's. Source: mergekit's Arcee Fusion.
    """
    if not stack.numel:
        return iter(())

    def divergences(block: Block) -> Tensor:
        assert block.base is not None
        p, q = (values.view(-1, stack.row).log_softmax(1) for values in (block.models[0], block.base))
        return (p.exp() * (p - q)).sum(1).clamp_(min=0)

    divergence = torch.cat(list(stack.map(divergences, rows=True)))

    def importance(block: Block) -> Tensor:
        assert block.base is not None
        first, count = block.start // stack.row, block.models[0].numel() // stack.row
        moved = torch.sub(block.models[0], block.base).abs_().view(count, stack.row)
        return moved.mul_(divergence[first : first + count, None]).view(-1)

    lower, median, upper = (
        _of_rank(lambda: stack.map(importance, rows=True), stack.numel, int(share * (stack.numel - 1)))
        for share in (0.25, 0.5, 0.75)
    )
    threshold = median + 1.5 * (upper - lower)
    if math.isnan(threshold):
        raise UserError(
            f"{stack.name}: holds NaN or infinity, whose importance is not known; mend the checkpoint first"
        )

    def fused(block: Block) -> Tensor:
        assert block.base is not None
        return torch.where(importance(block) >= threshold, block.models[0], block.base)

    return stack.map(fused, rows=True)


def _of_rank(series: Callable[[], Iterator[Tensor]], count: int, rank: int) -> float:
    """The element with ``rank`` smaller ones."""
    return largest(series, count, count - rank).value if rank else min(float(block.min()) for block in series())
