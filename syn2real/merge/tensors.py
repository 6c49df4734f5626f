"""What every weight file offers: tensors by name, whole or by a flat range of elements, read only when asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

from torch import Tensor, dtype


@dataclass(frozen=True)
class TensorInfo:
    """Shape and dtype of a stored tensor."""

    shape: tuple[int, ...]
    dtype: dtype

    @cached_property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.numel * self.dtype.itemsize

    @property
    def is_float(self) -> bool:
        """Whether arithmetic applies; other tensors (counters, indices) are carried as they are."""
        return self.dtype.is_floating_point


class TensorSource(Protocol):
    """Something that holds named tensors. What it returns may be a view of a file: treat it as read-only."""

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Shape and dtype of every tensor, in the order of the file. No weight is read."""
        ...

    def read(self, name: str) -> Tensor:
        """A whole tensor. Raises `KeyError` for a name that is not in ``infos``.

        The dtype is that of ``infos``, or a wider one where values are computed as they are read (a base with an
        adapter, a compressed vector): the one rounding is left to the reader.
        """
        ...

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """Elements ``start`` to ``stop`` of the row-major flattened tensor: shape (stop − start,), dtype as `read`."""
        ...


def check_range(info: TensorInfo, start: int, stop: int) -> None:
    """Raise `IndexError` unless ``0 <= start <= stop <= numel``; a range is never clipped in silence."""
    if not 0 <= start <= stop <= info.numel:
        raise IndexError(f"range {start}:{stop} is outside of {info.numel} elements")


def ranges(count: int, size: int) -> Iterator[tuple[int, int]]:
    """``count`` elements as consecutive (start, stop) of at most ``size``."""
    for start in range(0, count, size):
        yield start, min(start + size, count)


def dtype_name(kind: dtype) -> str:
    """``float16`` for ``torch.float16``."""
    return str(kind).removeprefix("torch.")
