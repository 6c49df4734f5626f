"""Matrices of low rank: products read by ranges, and truncated singular value decompositions of streamed matrices.

The decomposition is a block power iteration from a random start (Halko, Martinsson and Tropp, "Finding structure with
randomness", 2011, algorithms 4.4 and 5.1), run until the singular values stand still; small matrices are decomposed
exactly. The start depends on the matrix's shape alone, and one thread computes, so that results repeat and equal
matrices, such as tied embeddings stored twice, stay equal.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from syn2real.hashing import seed_from
from syn2real.merge.threads import one_thread_each

TILE = 1 << 16  # elements of a product computed at once: 512 kB in float64
EXACT = 1 << 19  # matrices of at most so many elements are decomposed whole
HELD = 1 << 25  # elements up to which a matrix is kept in memory between passes: 256 MB
OVERSAMPLED = 10  # directions iterated beside those wanted
_PASSES = 40  # at most
_LAST = threading.local()  # the tile that a thread computed last, which the next range may begin in
_STILL = 1e-5  # gain of a pass, as a share of what is left out, at which the iteration ends

Key = TypeVar("Key", bound=Hashable)


class Product:
    """``left @ right`` in float64, never whole in memory: shapes (rows, rank) and (rank, columns).

    Rows are computed in tiles that depend on the shape alone, so that an element's value does not depend on the range
    it is read with. Several threads may read at once.
    """

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left = left.to(torch.float64).contiguous()
        self.right = right.to(torch.float64).contiguous()
        self.rows, self.columns = self.left.shape[0], self.right.shape[1]
        self._height = max(1, TILE // max(1, self.columns))

    def range(self, start: int, stop: int) -> Tensor:
        """Elements ``start`` to ``stop`` of the flattened product: float64, shape (stop − start,)."""
        result = torch.empty(stop - start, dtype=torch.float64)
        size = self._height * self.columns
        at = start
        while at < stop:
            tile = at // size
            end = min(stop, (tile + 1) * size)
            result[at - start : end - start] = self._tile(tile)[at - tile * size : end - tile * size]
            at = end
        return result

    def _tile(self, index: int) -> Tensor:
        held: tuple[Product, int, Tensor] | None = getattr(_LAST, "tile", None)
        if held is None or held[0] is not self or held[1] != index:
            rows = self.left[index * self._height : (index + 1) * self._height]
            held = (self, index, (rows @ self.right).view(-1))
            _LAST.tile = held
        return held[2]


class Products(Generic[Key]):
    """The products used last, made when first asked for; safe among threads."""

    def __init__(self, make: Callable[[Key], Product], held: int = 64) -> None:
        self._make = make
        self._held = held
        self._products: OrderedDict[Key, Product] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: Key) -> Product:
        with self._lock:
            if key not in self._products:
                self._products[key] = self._make(key)
                if len(self._products) > self._held:
                    self._products.popitem(last=False)
            self._products.move_to_end(key)
            return self._products[key]

    def held_bytes(self, elements: Iterable[int]) -> int:
        """Memory taken at most where the factors of each product have so many ``elements``."""
        return torch.float64.itemsize * sum(sorted(elements)[-self._held :])


class Matrix:
    """A matrix given by its rows, read again for every pass unless it is small.

    ``rows(start, stop)`` returns rows as float64 of shape (stop − start, columns).
    """

    def __init__(self, shape: tuple[int, int], rows: Callable[[int, int], Tensor]) -> None:
        self.shape = shape
        self._rows = rows
        self._kept: list[tuple[int, Tensor]] | None = None

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """(first row, rows) from top to bottom."""
        if self._kept is not None:
            yield from self._kept
            return
        height = max(1, (1 << 21) // max(1, self.shape[1]))
        pieces = ((at, self._rows(at, min(at + height, self.shape[0]))) for at in range(0, self.shape[0], height))
        if math.prod(self.shape) > HELD:
            yield from pieces
            return
        self._kept = list(pieces)
        yield from self._kept

    def whole(self) -> Tensor:
        """All of it."""
        return torch.cat([block for _, block in self.blocks()])

    def square(self) -> float:
        """Sum of squares."""
        return math.fsum(torch.dot(block.reshape(-1), block.reshape(-1)).item() for _, block in self.blocks())

    def __matmul__(self, other: Tensor) -> Tensor:
        return torch.cat([block @ other for _, block in self.blocks()])

    def transposed_times(self, other: Tensor) -> Tensor:
        """``Mᵀ @ other`` for ``other`` of shape (rows, k)."""
        result = torch.zeros(self.shape[1], other.shape[1], dtype=torch.float64)
        for start, block in self.blocks():
            result.addmm_(block.T, other[start : start + block.shape[0]])
        return result


@dataclass(frozen=True)
class Truncated:
    """The leading singular triplets: ``left @ diag(values) @ right``; ``square`` is the whole matrix's sum of squares.

    Shapes (rows, k), (k,), (k, columns); orthonormal; float64.
    """

    left: Tensor
    values: Tensor
    right: Tensor
    square: float

    @property
    def rank(self) -> int:
        """The number of triplets."""
        return self.values.numel()

    @property
    def error(self) -> float:
        """‖M − truncated‖ / ‖M‖ in the Frobenius norm; 0 for a matrix of zeros."""
        kept = math.fsum((self.values**2).tolist())
        return math.sqrt(max(0.0, self.square - kept) / self.square) if self.square else 0.0

    def first(self, rank: int) -> "Truncated":
        """Only the first ``rank`` triplets."""
        return Truncated(self.left[:, :rank], self.values[:rank], self.right[:rank], self.square)


def truncated_svd(matrix: Matrix, rank: int | None = None, energy: float | None = None) -> Truncated:
    """The ``rank`` leading triplets, or as few as hold the share ``energy`` of the sum of squares.

    Triplets whose singular value is zero are left out, so the rank may be smaller, 0 for a matrix of zeros.
    """
    if (rank is None) == (energy is None):
        raise ValueError("give either a rank or an energy")
    with one_thread_each():
        return _truncated(matrix, rank, energy)


def _truncated(matrix: Matrix, rank: int | None, energy: float | None) -> Truncated:
    most = min(matrix.shape)
    square = matrix.square()
    if square == 0.0 or most == 0:
        empty = torch.empty(0, dtype=torch.float64)
        return Truncated(empty.view(matrix.shape[0], 0), empty, empty.view(0, matrix.shape[1]), 0.0)
    wanted = min(rank, most) if rank is not None else min(16, most)
    while True:
        if math.prod(matrix.shape) <= EXACT or wanted * 3 > most:
            found = _exact(matrix, square)
            break
        found = _iterated(matrix, square, wanted)
        if energy is None or _enough(found, energy) is not None:
            break
        wanted = min(wanted * 3, most)
    kept = rank if energy is None else (_enough(found, energy) or found.rank)
    positive = int((found.values > found.values[0] * 1e-12).sum())
    return found.first(min(kept or 0, positive))


def _enough(found: Truncated, energy: float) -> int | None:
    """How many triplets hold the share ``energy``; None when all that were found do not."""
    shares = torch.cumsum(found.values**2, 0) / found.square
    reached = (shares >= energy - 1e-12).nonzero()
    return int(reached[0]) + 1 if len(reached) else None


def _exact(matrix: Matrix, square: float) -> Truncated:
    left, values, right = torch.linalg.svd(matrix.whole(), full_matrices=False)
    return _signed(Truncated(left, values, right, square))


def _iterated(matrix: Matrix, square: float, wanted: int) -> Truncated:
    size = min(wanted + OVERSAMPLED, min(matrix.shape))
    generator = np.random.Generator(np.random.SFC64(seed_from("low rank", *matrix.shape, size)))
    basis = torch.from_numpy(generator.standard_normal((matrix.shape[1], size)))
    before = 0.0
    for _ in range(_PASSES):
        left = torch.linalg.qr(matrix @ basis).Q
        projected = matrix.transposed_times(left)  # (columns, size): Mᵀ Q
        basis, triangle = torch.linalg.qr(projected)
        inner_left, values, inner_right = torch.linalg.svd(triangle.T)
        kept = math.fsum((values[:wanted] ** 2).tolist())
        if kept - before <= max(_STILL * (square - kept), 1e-14 * square):
            break
        before = kept
    return _signed(Truncated(left @ inner_left, values, inner_right @ basis.T, square).first(wanted))


def _signed(found: Truncated) -> Truncated:
    """Fix each pair's common sign: the largest entry of a right vector is positive."""
    if not found.rank:
        return found
    largest = found.right.abs().argmax(dim=1, keepdim=True)
    signs = torch.where(found.right.gather(1, largest) < 0, -1.0, 1.0).to(torch.float64)
    return Truncated(found.left * signs.T, found.values, found.right * signs, found.square)
