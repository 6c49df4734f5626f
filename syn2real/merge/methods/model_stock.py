"""Averaging fine-tuned models, pulled towards their base as far as they disagree."""

import math
from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from syn2real.merge.method import method
from syn2real.merge.stack import Block, Stack
from syn2real.merge.weighting import weighted_sum


@method("model_stock", base="required", models=(2, None))
def model_stock(stack: Stack, *, angle: Literal["mean_cosine", "mean_angle"] = "mean_cosine") -> Iterator[Tensor]:
    """Model Stock: θ = t·mean(θᵢ) + (1 − t)·θ₀ with t = N·c / (1 + (N − 1)·c), c the cosine between the task vectors.

    For more than two models c is the mean of the pairwise cosines (as in mergekit), or the cosine of the mean angle
    (``mean_angle``, as in fusion_bench). t lies in [0, 1]: task vectors that are at right angles or further apart give
    the base. A zero task vector agrees with none. No constant is added anywhere: the scale of the weights has no
    effect. Source: Jang et al. 2024 (arXiv 2403.19522).
    """
    count = len(stack)
    share = ratio(stack.gram(deltas=True), angle) / count
    factors = [share] * count

    def merged(block: Block) -> Tensor:
        return block.on_base(weighted_sum(block.deltas(), factors))

    return stack.map(merged)


def ratio(gram: Tensor, angle: str) -> float:
    """t, from the task vectors' inner products."""
    count = len(gram)
    norms = gram.diagonal().clamp(min=0).sqrt().tolist()
    cosines = []
    for i in range(count):
        for j in range(i):
            size = norms[i] * norms[j]
            cosines.append(max(-1.0, min(1.0, float(gram[i, j]) / size)) if size else 0.0)
    if angle == "mean_angle":
        mean = math.cos(math.fsum(math.acos(c) for c in cosines) / len(cosines))
    else:
        mean = math.fsum(cosines) / len(cosines)
    return count * mean / (1 + (count - 1) * mean) if mean > 0 else 0.0
