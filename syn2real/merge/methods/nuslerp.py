"""Spherical interpolation by relative weights, of models or of their task vectors, whole or row by row."""

from collections.abc import Iterator

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.method import PerModel, method
from syn2real.merge.spherical import slerp_weights
from syn2real.merge.stack import Block, Stack
from syn2real.merge.weighting import normalised, weighted_sum


@method("nuslerp", base="optional", models=(2, 2))
def nuslerp(stack: Stack, *, weight: PerModel = (1.0,), rows: bool = False) -> Iterator[Tensor]:
    """SLERP at t = w₂ / (w₁ + w₂), of the task vectors where there is a base, and of each row by itself with ``rows``.

    θ = θ₀ + slerp(θ₁ − θ₀, θ₂ − θ₀; t). Degenerate angles are defined as in ``slerp``. Source: mergekit's NuSLERP.
    """
    t = normalised(weight, stack.name)[1]
    if not 0 <= t <= 1:
        raise UserError(f"{stack.name}: nuslerp needs weights of one sign")

    if rows:

        def by_row(block: Block) -> Tensor:
            pair = torch.stack(block.vectors()).view(2, -1, stack.row)
            grams = torch.einsum("irc,jrc->rij", pair, pair)
            weights = torch.tensor([slerp_weights(gram, t) for gram in grams], dtype=torch.float64)
            mixed = (pair * weights.T[:, :, None].to(pair.device)).sum(0)
            return block.on_base(mixed.reshape(-1))

        return stack.map(by_row, rows=True)
    weights = slerp_weights(stack.gram(deltas=stack.has_base), t)
    return stack.map(lambda block: block.on_base(weighted_sum(block.vectors(), weights)))
