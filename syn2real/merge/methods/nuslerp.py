"""Spherical interpolation by relative weights, of models or of their task vectors, whole or row by row."""

from collections.abc import Iterable

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.method import PerModel, method
from syn2real.merge.spherical import slerp_weights, slerp_weights_each
from syn2real.merge.stack import Block, Stack
from syn2real.merge.sums import sum_of_vectors
from syn2real.merge.weighting import normalised


@method("nuslerp", base="optional", models=(2, 2))
def nuslerp(
    stack: Stack, *, weight: PerModel = (1.0,), flatten: bool = True, columns: bool = False
) -> Iterable[Tensor]:
    """SLERP at t = w₂ / (w₁ + w₂), of the task vectors where there is a base; of each row with ``flatten: false``.

    θ = θ₀ + slerp(θ₁ − θ₀, θ₂ − θ₀; t). With ``flatten: false`` and ``columns`` elements with the same place in the
    last dimension are one vector; a tensor with one dimension is a row and a column alike. Degenerate angles are
    defined as in ``slerp``. Source: mergekit's NuSLERP, which calls our columns rows.
    """
    t = normalised(weight, stack.name)[1]
    if not 0 <= t <= 1:
        raise UserError(f"{stack.name}: nuslerp needs weights of one sign")
    if flatten or not stack.numel:
        return sum_of_vectors(stack, slerp_weights(stack.gram(deltas=stack.has_base), t))

    def pair(block: Block) -> list[Tensor]:
        return [values.view(-1, stack.row) for values in block.vectors()]

    def products(pair: list[Tensor], dimension: int) -> Tensor:
        first, second = (values.double() for values in pair)  # a rounded cosine near −1 is far from its angle
        return torch.stack([(a * b).sum(dimension) for a, b in ((first, first), (second, second), (first, second))])

    if not columns or len(stack.shape) < 2:

        def by_row(block: Block) -> Tensor:
            vectors = pair(block)
            first, second = slerp_weights_each(products(vectors, 1), t)
            return block.on_base(vectors[0].mul_(first[:, None]).add_(vectors[1].mul_(second[:, None])).view(-1))

        return stack.map(by_row, rows=True)
    sums = torch.zeros(3, stack.row, dtype=torch.float64, device=stack.device)
    for block in stack.blocks(rows=True):
        sums += products(pair(block), 0)
    first, second = slerp_weights_each(sums, t)

    def by_column(block: Block) -> Tensor:
        vectors = pair(block)
        return block.on_base(vectors[0].mul_(first).add_(vectors[1].mul_(second)).view(-1))

    return stack.map(by_column, rows=True)
