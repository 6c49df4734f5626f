"""LoRA's two factors of a stored tensor's update: where they lie, which way round they go, and their product."""

from collections.abc import Iterable
from dataclasses import dataclass

from syn2real.merge.low_rank import Product
from syn2real.merge.tensors import TensorSource


@dataclass(frozen=True)
class Factors:
    """The update s·B·A of a stored tensor, by the names of its parts in the adapter's file.

    A and B may serve several experts, whose rows and columns PEFT lays out in two ways: A of shape (experts · rank, in)
    has one expert after another, B of shape (out, rank · experts) takes turns between them. The tensor then is a stack
    of ``matrices``, from the expert ``first`` on. ``flipped``: the stored matrix is (in, out). ``rows``: the tensor has
    only these rows of the matrix that A and B make.
    """

    a: str
    b: str
    scale: float
    flipped: bool
    magnitude: str | None = None
    experts: int = 1
    first: int = 0
    matrices: int = 1
    rows: tuple[int, int] | None = None

    def product(self, source: TensorSource, index: int) -> Product:
        """B·A, without the scale, for matrix ``index`` of the tensor; ``source`` holds the adapter."""
        a, b = source.read(self.a), source.read(self.b)
        a, b = a.reshape(a.shape[0], -1), b.reshape(b.shape[0], -1)
        rank, expert = a.shape[0] // self.experts, self.first + index
        a, b = a[expert * rank : (expert + 1) * rank], b[:, expert :: self.experts]
        left, right = (a.T, b.T) if self.flipped else (b, a)
        return Product(left if self.rows is None else left[slice(*self.rows)], right)

    def elements(self, source: TensorSource) -> Iterable[int]:
        """Elements of the factors of each matrix, or somewhat more."""
        both = source.infos[self.a].numel + source.infos[self.b].numel
        return [both // self.experts] * self.matrices


def orientation(shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> set[bool]:
    """How A and B can make a stored tensor: as (out, in), {False}; as (in, out), {True}; either way, both."""
    if len(a) < 2 or len(b) < 2 or a[0] != b[1] or not shape:
        return set()
    fits = set()
    if len(shape) == len(a) and len(shape) > 2:  # convolutions: (out, in, k…), A of (r, in, k…), B of (out, r, 1…)
        if shape == (b[0], *a[1:]) and all(size == 1 for size in b[2:]):
            fits.add(False)
    elif len(shape) == len(a) == len(b) == 2:
        if shape == (b[0], a[1]):
            fits.add(False)
        if shape == (a[1], b[0]):
            fits.add(True)
    return fits
