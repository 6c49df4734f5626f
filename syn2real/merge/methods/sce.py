"""Select, calculate, erase."""

from collections.abc import Iterator

import torch
from torch import Tensor

from syn2real.merge.method import method
from syn2real.merge.selection import Cut, largest
from syn2real.merge.stack import Block, Stack
from syn2real.merge.trimming import kept, require_share
from syn2real.merge.weighting import agreeing_mean


@method("sce", base="required")
def sce(stack: Stack, *, select_topk: float = 1.0, scale: float = 1.0) -> Iterator[Tensor]:
    """SCE: keep the elements whose δᵢ vary most between models, weight models by what is left, erase minority signs.

    Select: of those that vary at all the ``select_topk`` share with the largest variance over models (all elements with
    1.0). Calculate: wᵢ = Σ δᵢ² /
    Σⱼ Σ δⱼ² of the selected. Erase: drop what disagrees with the sign of Σδᵢ, divide by the weights that remain.
    Source: Wan et al. 2024, FuseChat (arXiv 2408.07990).
    """
    require_share("select_topk", [select_topk])
    if not stack.numel:
        return iter(())
    cut = None
    if select_topk < 1:
        varying = sum(int(torch.count_nonzero(_variance(block))) for block in stack.blocks())
        cut = largest(lambda: stack.map(_variance), stack.numel, kept(select_topk, varying))
    parts = [torch.stack([d.square().sum() for d in deltas]).cpu() for _, deltas in _selected(stack, cut)]
    squares = torch.stack(parts).sum(0)
    total = float(squares.sum())
    weights = (squares / total).tolist() if total else [1.0 / len(stack)] * len(stack)

    def merged() -> Iterator[Tensor]:
        for block, deltas in _selected(stack, cut):
            weighted = [delta * weight for delta, weight in zip(deltas, weights, strict=True)]
            yield block.on_base(agreeing_mean(weighted, deltas, weights).mul_(scale))

    return merged()


def _variance(block: Block) -> Tensor:
    return torch.stack(block.deltas()).var(0, correction=0)


def _selected(stack: Stack, cut: Cut | None) -> Iterator[tuple[Block, list[Tensor]]]:
    left = cut.ties if cut else 0
    for block in stack.blocks():
        deltas = block.deltas()
        if cut:
            mask, left = cut.mask(torch.stack(deltas).var(0, correction=0), left)
            for delta in deltas:
                delta.mul_(mask)
        yield block, deltas
