"""Averaging fine-tuned models, pulled towards their base as far as they disagree."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from syn2real.merge.method import method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.sums import Everything, SparseSum
from syn2real.merge.weighting import weighted_sum


@method("model_stock", base="required", models=(2, None))
def model_stock(
    stack: Stack, *, angle: Literal["mean_cosine", "mean_angle"] = "mean_cosine", rows: bool = False
) -> Iterable[Tensor]:
    """Model Stock: θ = t·mean(θᵢ) + (1 − t)·θ₀ with t = N·c / (1 + (N − 1)·c), c the cosine between the task vectors.

    For more than two models c is the mean of the pairwise cosines (as in mergekit), or the cosine of the mean angle
    (``mean_angle``, as in fusion_bench). t lies in [0, 1]: task vectors that are at right angles or further apart give
    the base. A zero task vector agrees with none. No constant is added anywhere: the scale of the weights has no
    effect. ``rows`` finds a t for each row (mergekit's filter_wise). Source: Jang et al. 2024 (arXiv 2403.19522).
    """
    count = len(stack)
    if rows:

        def by_row(block: Block) -> Tensor:
            deltas = [delta.view(-1, stack.row) for delta in block.deltas()]
            stacked = torch.stack(deltas, 1)
            share = ratio(stacked @ stacked.mT, angle) / count
            return block.on_base(weighted_sum(deltas, [1.0] * count).mul_(share[:, None]).view(-1))

        return stack.map(by_row, rows=True)
    return SparseSum(stack, Everything(), [float(ratio(stack.gram(deltas=True), angle)) / count] * count)


def ratio(gram: Tensor, angle: str) -> Tensor:
    """t, from the task vectors' inner products: shape (…, n, n) in, (…) out."""
    count = gram.shape[-1]
    norms = gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    first, second = torch.tril_indices(count, count, -1)
    sizes = norms[..., first] * norms[..., second]
    cosines = torch.where(sizes > 0, gram[..., first, second] / sizes, 0.0).clamp(-1, 1)
    mean = cosines.mean(-1) if angle == "mean_cosine" else cosines.arccos().mean(-1).cos()
    return torch.where(mean > 0, count * mean / (1 + (count - 1) * mean), 0.0)
