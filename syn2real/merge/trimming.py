"""Which elements of a difference to the base are kept: the largest, a band of magnitudes, or a random share."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.selection import Cut, largest
from syn2real.merge.stack import Block, Stack


def require_share(name: str, values: Sequence[float]) -> None:
    """Raise `UserError` unless all values of parameter ``name`` lie in [0, 1]."""
    for value in values:
        if not 0 <= value <= 1:
            raise UserError(f"{name}: {value} is not between 0 and 1")


def kept(density: float, count: int) -> int:
    """How many of ``count`` elements a density keeps: rounded down, but one at least unless the density is 0."""
    return max(1, int(density * count)) if density > 0 and count else 0


def magnitudes(stack: Stack, model: int) -> Iterator[Tensor]:
    """|θᵢ − θ₀| of one model, block by block."""
    for block in stack.only(model).blocks():
        yield block.deltas()[0].abs_()


def cuts(stack: Stack, keep: Sequence[int]) -> list[Cut]:
    """For every model, the cut that keeps its ``keep`` largest differences."""
    return [largest(lambda i=i: magnitudes(stack, i), stack.numel, k) for i, k in enumerate(keep)]  # type: ignore[misc]


def trimmed(stack: Stack, cuts: Sequence[Cut]) -> Iterator[tuple[Block, list[Tensor]]]:
    """Blocks with their differences, zero where a cut drops them."""
    left = [cut.ties for cut in cuts]
    for block in stack.blocks():
        deltas = block.deltas()
        for i, cut in enumerate(cuts):
            mask, left[i] = cut.mask(deltas[i].abs(), left[i])
            deltas[i].mul_(mask)
        yield block, deltas


def random_share(stack: Stack, block: Block, model: int, probability: Tensor | float) -> Tensor:
    """A boolean mask that keeps each element with ``probability``; see `Stack.uniform`."""
    count = block.models[model].numel()
    return torch.lt(stack.uniform(model, block.start, block.start + count), probability)
