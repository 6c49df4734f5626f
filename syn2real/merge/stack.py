"""What a merge method sees: one tensor of every model, as float64, a block at a time."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.hashing import seed_from
from syn2real.merge import kernels
from syn2real.merge.draws import sixteen_bits
from syn2real.merge.tensors import ranges

# Elements of a block. Sums are taken within blocks and then exactly over them, so that no result depends on how much is
# read at once. 1 MB in float64: about a core's cache, and enough work for each operation that threads of Python do not
# wait for each other.
UNIT = 1 << 17
NO_BASE = "this method needs a base model; name one in the recipe"


class Slot(Protocol):
    """Where a stack reads one model's tensor from."""

    def read(self, start: int, stop: int) -> Tensor:
        """Elements ``start`` to ``stop`` of the flattened tensor: shape (stop − start,), any floating-point dtype."""
        ...


@dataclass
class Block:
    """A stretch of one tensor. Its tensors are float64 of shape (n,), and the method's own to overwrite."""

    start: int
    models: list[Tensor]
    base: Tensor | None

    def deltas(self) -> list[Tensor]:
        """θᵢ − θ₀ for every model, computed in place: use instead of ``models``, once."""
        if self.base is None:
            raise UserError(NO_BASE)
        return [model.sub_(self.base) for model in self.models]

    def vectors(self) -> list[Tensor]:
        """`deltas` where there is a base, the models' own values elsewhere."""
        return self.models if self.base is None else self.deltas()

    def on_base(self, delta: Tensor) -> Tensor:
        """θ₀ + ``delta``, in place; ``delta`` itself where there is no base."""
        return delta if self.base is None else delta.add_(self.base)


class Stack:
    """One tensor of ``n`` models and, for methods that need it, of their base.

    >>> stack = Stack.of([torch.tensor([1.0, 3.0]), torch.tensor([3.0, 5.0])])
    >>> stack.collect(stack.map(lambda block: sum(block.models) / 2))
    tensor([2., 4.], dtype=torch.float64)

    ``seed`` is the recipe's; with the tensor's name it fixes every random number. ``device`` is where blocks live,
    ``dtype`` what they hold: float32 is for speed on a GPU and gives up the last digits.
    """

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        slots: Sequence[Slot],
        base: Slot | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.name = name
        self.shape = tuple(shape)
        self.numel = prod(self.shape)
        self.seed = seed
        self.device = device
        self.dtype = dtype
        self._slots = tuple(slots)
        self._base = base
        self._streams: dict[int, int] = {}
        # A GPU wants far larger blocks than a cache; there a sum's last bit may differ from the processor's.
        self._unit = UNIT if device == "cpu" else UNIT * 256

    @classmethod
    def of(
        cls, models: Sequence[Tensor], base: Tensor | None = None, *, name: str = "tensor", seed: int = 0
    ) -> "Stack":
        """A stack over tensors in memory, all of one shape."""
        slots = [InMemory(tensor) for tensor in models]
        return cls(name, models[0].shape, slots, None if base is None else InMemory(base), seed=seed)

    def only(self, model: int) -> "Stack":
        """A stack of one model and the base, so that the others need not be read."""
        alone = [self._slots[model]]
        return Stack(self.name, self.shape, alone, self._base, seed=self.seed, device=self.device, dtype=self.dtype)

    def __len__(self) -> int:
        """The number of models, without the base."""
        return len(self._slots)

    @property
    def has_base(self) -> bool:
        """Whether there is a base model."""
        return self._base is not None

    @property
    def row(self) -> int:
        """Elements of a row: the last dimension; the whole of a tensor with fewer than two."""
        return max(1, self.shape[-1] if len(self.shape) > 1 else self.numel)

    @property
    def plain(self) -> bool:
        """Whether blocks are of float64 on the processor."""
        return self.device == "cpu" and self.dtype == torch.float64

    def stretches(self, *, rows: bool = False) -> Iterator[tuple[int, int]]:
        """First and last element, exclusive, of every block. With ``rows`` no row is split, however long it is."""
        return ranges(self.numel, self._unit if not rows else max(1, self._unit // self.row) * self.row)

    def blocks(self, *, rows: bool = False) -> Iterator[Block]:
        """The tensor from start to end, in `stretches`."""
        for start, stop in self.stretches(rows=rows):
            base = None if self._base is None else self._wide(self._base, start, stop)
            yield Block(start, [self._wide(slot, start, stop) for slot in self._slots], base)

    def read(self, start: int, stop: int) -> list[Tensor]:
        """Elements ``start`` to ``stop`` of every model, then of the base, as they are stored; not to be changed."""
        slots = self._slots if self._base is None else (*self._slots, self._base)
        return [slot.read(start, stop) for slot in slots]

    def map(self, function: Callable[[Block], Tensor], *, rows: bool = False) -> Iterator[Tensor]:
        """``function`` of every block, in order: what a method returns."""
        return (function(block) for block in self.blocks(rows=rows))

    def sum(self, function: Callable[[Block], Tensor], *, rows: bool = False) -> Tensor:
        """Σ over blocks of ``function(block)``, of any one shape, float64; no order of adding up is involved."""
        parts = [function(block).cpu() for block in self.blocks(rows=rows)]
        if not parts:
            raise UserError(f"{self.name}: an empty tensor has no statistics")
        flat = torch.stack([part.reshape(-1) for part in parts]).T.tolist()
        return torch.tensor([math.fsum(column) for column in flat], dtype=torch.float64).view(parts[0].shape)

    def gram(self, *, deltas: bool = False) -> Tensor:
        """⟨θᵢ, θⱼ⟩ (of the differences to the base with ``deltas``): shape (n, n), float64."""

        def products(block: Block) -> Tensor:
            # Not one matrix product: that takes buffers of its own, several times as large as these vectors.
            values = [vector.double() for vector in (block.deltas() if deltas else block.models)]
            found = torch.empty(len(values), len(values), dtype=torch.float64)
            for i, first in enumerate(values):
                for j, second in enumerate(values[: i + 1]):
                    found[i, j] = found[j, i] = torch.dot(first, second)
            return found

        return self.sum(products) if self.numel else torch.zeros(len(self), len(self), dtype=torch.float64)

    def draws(self, model: int, start: int, stop: int) -> Tensor:
        """Random whole numbers from −2¹⁵ to 2¹⁵ − 1 for elements ``start`` to ``stop``: int16, shape (stop − start,),
        on the processor.

        They depend on the seed, the tensor's name, the model and the element, and on nothing else.
        """
        return torch.from_numpy(sixteen_bits(self.stream(model), start, stop).view(np.int16))

    def kept(self, model: int, start: int, stop: int, limits: np.ndarray) -> Tensor:
        """1 for each element whose number in `draws` is at most its limit, 0 elsewhere, like the tensors of a block.

        ``limits`` is int16: one for all of them, or one for each.
        """
        if self.plain and kernels.built():
            mask = kernels.keep(self.stream(model), start, stop - start, limits)
        else:
            mask = torch.from_numpy((self.draws(model, start, stop).numpy() <= limits).view(np.uint8))
        return mask.to(self.device).to(self.dtype)  # narrow on its way

    def stream(self, model: int) -> int:
        """The seed of one model's `draws`."""
        if model not in self._streams:
            self._streams[model] = seed_from(self.seed, self.name, model)
        return self._streams[model]

    def collect(self, result: Iterable[Tensor]) -> Tensor:
        """A method's result as one float64 tensor of the stack's shape; for tests and small tensors."""
        parts = list(result)
        return (torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)).view(self.shape)

    def _wide(self, slot: Slot, start: int, stop: int) -> Tensor:
        values = slot.read(start, stop)
        if values.dtype == self.dtype and values.device.type == self.device:
            return values.clone()
        return values.to(self.device).to(self.dtype)


@dataclass(frozen=True)
class InMemory:
    """A tensor as a `Slot`."""

    tensor: Tensor

    def read(self, start: int, stop: int) -> Tensor:
        """See `Slot.read`."""
        return self.tensor.reshape(-1)[start:stop]
