"""What most methods end in: sums of models, and of what is kept of their differences to a base.

They are float64 blocks, as any method's are. Where those would only be rounded, `Rounding.rounded` does both in one
pass over memory with compiled loops, and gives the same bits.
"""

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge import kernels
from syn2real.merge.arithmetic import combine
from syn2real.merge.stack import NO_BASE, Block, Stack
from syn2real.merge.tensors import ranges
from syn2real.merge.weighting import Election, ballot, cancelled, elected_mean, least_share, scaled, weighted_sum

SLICE = 1 << 20  # elements rounded at a time


@runtime_checkable
class Rounding(Protocol):
    """Float64 blocks that can be had rounded."""

    def __iter__(self) -> Iterator[Tensor]: ...

    def rounded(self, dtype: torch.dtype) -> Iterator[Tensor]:
        """The tensor in ``dtype``, in stretches of any length, each element rounded once."""
        ...


def round_blocks(blocks: Iterable[Tensor], dtype: torch.dtype) -> Iterator[Tensor]:
    """What a method gives, in ``dtype`` and on the processor, each element rounded once."""
    if isinstance(blocks, Rounding):
        return blocks.rounded(dtype)
    return (combine([(1.0, values.cpu().reshape(-1))], dtype) for values in blocks)


@dataclass(frozen=True)
class WeightedSum:
    """Σ ``factors``ᵢ·θᵢ, and ``base``·θ₀ before them where it is given. Raises `UserError` where there is no base."""

    stack: Stack
    factors: Sequence[float]
    base: float | None = None

    def __post_init__(self) -> None:
        if self.base is not None and not self.stack.has_base:
            raise UserError(NO_BASE)

    def __iter__(self) -> Iterator[Tensor]:
        """Float64 blocks."""
        return self.stack.map(self._sum)

    def rounded(self, dtype: torch.dtype) -> Iterator[Tensor]:
        """See `Rounding.rounded`."""
        if not self.stack.plain:
            yield from round_blocks(iter(self), dtype)
            return
        count = len(self.stack)
        for start, stop in ranges(self.stack.numel, SLICE):
            tensors = self.stack.read(start, stop)
            pieces = list(zip(self.factors, tensors[:count], strict=True))
            yield combine(pieces if self.base is None else [(self.base, tensors[count]), *pieces], dtype)

    def _sum(self, block: Block) -> Tensor:
        if self.base is None:
            return weighted_sum(block.models, self.factors)
        assert block.base is not None
        return weighted_sum([block.base, *block.models], [self.base, *self.factors])


class Choice(Protocol):
    """Which elements of a tensor's differences to the base are kept, and what they are multiplied by.

    Asked for one block after the other, from the first to the last; and perhaps from the first again.
    """

    rows: bool  # whether a block must hold whole rows

    def dropped(self, block: Block) -> list[Tensor]:
        """The differences of a block, in place, with 0 for what is not kept."""
        ...

    def rule(self, part: kernels.Part, i: int, start: int, model: Tensor, base: Tensor) -> Any:
        """Describe the same in ``part`` for the ``i``-th model's elements from ``start`` on, given as they are stored.

        The part is the last block's again, with what is ``left`` counted down. Returns the arrays that it points to.
        """
        ...


class Everything:
    """The `Choice` that drops nothing."""

    rows = False

    def dropped(self, block: Block) -> list[Tensor]:
        """See `Choice.dropped`."""
        return block.deltas()

    def rule(self, part: kernels.Part, i: int, start: int, model: Tensor, base: Tensor) -> None:
        """See `Choice.rule`: nothing is dropped unless it says so."""


def described(
    stack: Stack, choice: Choice, parts: "ctypes.Array[kernels.Part]", start: int, stop: int
) -> tuple[Tensor, list[Any]]:
    """A stretch as compiled loops take it: the models in ``parts``, and the base; with all that the parts point to."""
    *models, base = kernels.fit(stack.read(start, stop))
    pointed_to: list[Any] = [models]
    for i, (part, model) in enumerate(zip(parts, models, strict=True)):
        part.values, part.kind = model.data_ptr(), kernels.KINDS[model.dtype]
        pointed_to.append(choice.rule(part, i, start, model, base))
    return base, pointed_to


@dataclass(frozen=True)
class SparseSum:
    """θ₀ + ``scale`` · Σ ``weights``ᵢ·(what is kept of θᵢ − θ₀), or with an ``election`` their `elected_mean`.

    Raises `UserError` where there is no base.
    """

    stack: Stack
    choice: Choice
    weights: Sequence[float]
    scale: float = 1.0
    election: Election | None = None
    normalize: bool = True  # see `elected_mean`

    def __post_init__(self) -> None:
        if not self.stack.has_base:
            raise UserError(NO_BASE)

    def __iter__(self) -> Iterator[Tensor]:
        """Float64 blocks."""
        return self.stack.map(self._sum, rows=self.choice.rows)

    def rounded(self, dtype: torch.dtype) -> Iterator[Tensor]:
        """See `Rounding.rounded`."""
        if not (self.stack.plain and kernels.built() and dtype in kernels.KINDS and len(self.stack) <= kernels.MOST):
            yield from round_blocks(iter(self), dtype)
            return
        weights, shares, how, unweighted = self.weights, self.weights, None, False
        if self.election is not None:
            weights, shares, unweighted, zero_is_positive = ballot(self.weights, self.election)
            how = kernels.Election(least_share(shares), cancelled(shares), zero_is_positive, self.normalize)
        parts = (kernels.Part * len(self.stack))()
        for part, weight, share in zip(parts, weights, shares, strict=True):
            part.weight, part.share, part.factor = weight, share, 1.0
        stack = self.stack
        for start, stop in stack.stretches(rows=True) if self.choice.rows else ranges(stack.numel, SLICE):
            result = torch.empty(stop - start, dtype=dtype)
            base, pointed_to = described(stack, self.choice, parts, start, stop)
            kernels.sparse_sum(result, start, base, parts, how, unweighted=unweighted, scale=self.scale)
            del pointed_to  # not before
            yield result

    def _sum(self, block: Block) -> Tensor:
        deltas = self.choice.dropped(block)
        if self.election is None:
            total = weighted_sum(deltas, self.weights)
        else:
            total = elected_mean(deltas, self.weights, self.election, normalize=self.normalize)
        return block.on_base(scaled(total, self.scale))


def sum_of_vectors(stack: Stack, weights: Sequence[float]) -> WeightedSum | SparseSum:
    """θ₀ + Σ ``weights``ᵢ·(θᵢ − θ₀), or Σ ``weights``ᵢ·θᵢ where there is no base: see `Block.vectors`."""
    return SparseSum(stack, Everything(), weights) if stack.has_base else WeightedSum(stack, weights)
