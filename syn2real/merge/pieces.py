"""The tensors of a merged model before they are computed: each knows its shape and dtype and yields its values."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.arithmetic import combine
from syn2real.merge.compatibility import require_carried
from syn2real.merge.method import Method
from syn2real.merge.stack import Stack
from syn2real.merge.sums import SLICE, round_blocks
from syn2real.merge.tensors import TensorInfo, TensorSource, dtype_name, ranges


class Piece(Protocol):
    """One tensor of the result."""

    @property
    def info(self) -> TensorInfo:
        """Its shape and dtype."""
        ...

    def check(self) -> None:
        """Raise `UserError` for what can be known without computing: carried tensors that differ between models."""
        ...

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Its elements from first to last: (index of the first, 1-D values in ``info.dtype``)."""
        ...


@dataclass(frozen=True)
class Carried:
    """A tensor taken over bit by bit. ``others`` must hold the same, where they hold it at all."""

    name: str
    source: TensorSource
    info: TensorInfo
    others: Sequence[tuple[str, TensorSource]] = ()
    owner: str = "the anchor"

    def check(self) -> None:
        """See `Piece.check`."""
        require_carried(self.name, [(self.owner, self.source), *self.others])

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """See `Piece.blocks`."""
        for start, stop in ranges(self.info.numel, SLICE):
            yield start, self.source.read_range(self.name, start, stop)


@dataclass(frozen=True)
class Sum:
    """Σ cᵢ·θᵢ, rounded once. Terms with coefficient 0 are not read."""

    name: str
    terms: Sequence[tuple[float, Callable[[int, int], Tensor]]]  # coefficients, and what reads a range of elements
    info: TensorInfo

    def check(self) -> None:
        """Nothing to check."""

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """See `Piece.blocks`."""
        copy = [coefficient for coefficient, _ in self.terms if coefficient != 0.0] == [1.0]
        for start, stop in ranges(self.info.numel, SLICE):
            read = [(coefficient, read(start, stop)) for coefficient, read in self.terms if coefficient != 0.0]
            values = combine(read, self.info.dtype) if read else torch.zeros(stop - start, dtype=self.info.dtype)
            if not (copy and read[0][1].dtype == self.info.dtype):
                require_finite(self.name, values)
            yield start, values


@dataclass(frozen=True)
class Computed:
    """What a merge method makes of a stack, rounded once."""

    name: str
    method: Method
    stack: Stack
    parameters: Mapping[str, Any]
    info: TensorInfo
    shared: list[Any] = field(default_factory=list)  # one entry once the method has prepared

    def check(self) -> None:
        """See `Piece.check`: the parameters."""
        self.method.attempt(self.stack, self.parameters)

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """See `Piece.blocks`."""
        extra = {"shared": self.shared[0]} if self.shared else {}
        start = 0
        for values in round_blocks(self.method(self.stack, **self.parameters, **extra), self.info.dtype):
            require_finite(self.name, values)
            yield start, values
            start += values.numel()
        if start != self.info.numel:
            raise UserError(f"{self.name}: method {self.method.name} gave {start} of {self.info.numel} elements")


def require_finite(name: str, values: Tensor) -> None:
    """Raise `UserError` for NaN and infinity: an overflow would be found only as a model that says nothing."""
    if values.numel():
        # NaN wins both. Numbers of 8 bits have no order of their own in torch.
        least, most = (values if values.element_size() > 1 else values.float()).aminmax()
        if not (math.isfinite(least) and math.isfinite(most)):
            kind = dtype_name(values.dtype)
            raise UserError(
                f"{name} is not finite in {kind}; lower the scale, use out_dtype float32, or check the inputs"
            )
