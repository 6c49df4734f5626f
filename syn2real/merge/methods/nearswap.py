"""Taking another model's elements where they are near."""

from collections.abc import Iterator

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.method import method
from syn2real.merge.stack import Block, Stack


@method("nearswap", base="required", models=(1, 1))
def nearswap(stack: Stack, *, t: float = 1e-4) -> Iterator[Tensor]:
    """NearSwap: θ₀ + δ·min(1, t/|δ|), δ = θ₁ − θ₀: the model's element where it is within t, else t nearer to it.

    t is in units of the weights; 0 is the base. Source: NearSwap, by the author of BoreanGale-70B.
    """
    if not t >= 0:
        raise UserError(f"nearswap: t must be 0 or more, not {t:g}")

    def swapped(block: Block) -> Tensor:
        assert block.base is not None
        model, delta = block.models[0], block.models[0] - block.base
        nearer = torch.where(delta.isfinite(), delta.clamp(-t, t), delta)  # infinity is not hidden
        return torch.where(delta.abs() <= t, model, block.on_base(nearer))

    return stack.map(swapped)
