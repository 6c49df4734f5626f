"""How alike task vectors are: cosines, signs and subspaces, whole and by part, in one pass for all pairs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.compression import matrix_of
from syn2real.merge.groups import groups_of, layer_of
from syn2real.merge.low_rank import truncated_svd
from syn2real.merge.tensors import ranges
from syn2real.merge.vector import TaskVector, check_sources

SLICE = 1 << 18  # elements of each vector read at a time
_NOISE = 1e-5  # singular values below this share of the largest span no subspace

Matrix = list[list[float | None]]  # None where a vector is zero, so that nothing can be said


@dataclass
class Sums:
    """What is added up over elements, for n vectors: (n, n) matrices in float64, from which all measures follow."""

    products: Tensor  # Σ xy
    magnitudes: Tensor  # Σ |xy|
    signs: Tensor  # how many have equal signs, less how many have opposite ones
    both: Tensor  # how many are non-zero in both

    @classmethod
    def zero(cls, count: int) -> "Sums":
        """Nothing added yet."""
        return cls(*(torch.zeros(count, count, dtype=torch.float64) for _ in range(4)))

    @classmethod
    def of(cls, values: Tensor) -> "Sums":
        """Of vectors as rows: float64, shape (n, elements)."""
        absolute, signs = values.abs(), values.sign()
        moved = signs.abs()
        return cls(values @ values.T, absolute @ absolute.T, signs @ signs.T, moved @ moved.T)

    def add(self, other: "Sums") -> None:
        """Add in place."""
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine += theirs

    @property
    def norms(self) -> Tensor:
        """‖x‖: shape (n,)."""
        return self.products.diagonal().sqrt()

    @property
    def cosines(self) -> Tensor:
        """⟨x, y⟩/(‖x‖‖y‖), NaN where either is zero."""
        return (self.products / self.norms.outer(self.norms)).clamp(-1.0, 1.0)

    @property
    def agreement(self) -> Tensor:
        """Share of equal signs among the elements that are non-zero in both; 0.5 is what chance gives."""
        return (self.both + self.signs) / (2 * self.both)

    @property
    def weighted_agreement(self) -> Tensor:
        """The same with each element counted as |xy|."""
        return (self.magnitudes + self.products) / (2 * self.magnitudes)


@dataclass(frozen=True)
class Subspaces:
    """Mean squared cosine of the principal angles between the leading left singular subspaces, averaged over matrices.

    Of dimension ``k``, or lower where a matrix is of lower rank. ``expected`` is what random subspaces would give,
    k/rows averaged likewise. ``matrices`` counts those averaged over.
    """

    k: int
    overlap: Tensor
    expected: Tensor
    matrices: int


@dataclass
class Similarity:
    """The answer: sums over everything, over each layer and over each group of tensors."""

    names: tuple[str, ...]
    elements: int
    whole: Sums
    layers: dict[str, Sums] = field(default_factory=dict)
    groups: dict[str, Sums] = field(default_factory=dict)
    subspaces: Subspaces | None = None

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON; matrices in the order of ``names``, null where a vector is zero."""
        return {
            "names": list(self.names),
            "elements": self.elements,
            **_measures(self.whole),
            "subspaces": None
            if self.subspaces is None
            else {
                "k": self.subspaces.k,
                "overlap": rows(self.subspaces.overlap),
                "expected_of_random": rows(self.subspaces.expected),
                "matrices": self.subspaces.matrices,
            },
            "layers": {name: _measures(sums) for name, sums in self.layers.items()},
            "groups": {name: _measures(sums) for name, sums in self.groups.items()},
        }


def compare(
    vectors: Mapping[str, TaskVector],
    *,
    subspace: int = 8,
    on_tensor: Callable[[str], None] | None = None,
) -> Similarity:
    """Compare vectors, given by what to call them.

    ``subspace`` is the dimension k of the subspaces compared, for matrices with more than k rows and columns; 0 leaves
    them out, which saves their decompositions. Raises `CheckpointMismatch` for vectors of different models, and
    `UserError` for fewer than two.
    """
    if len(vectors) < 2:
        raise UserError("comparing needs at least two task vectors or models")
    if subspace < 0:
        raise UserError(f"subspace {subspace}: must be 0 or more")
    names, terms = tuple(vectors), list(vectors.values())
    for other in terms[1:]:
        check_sources(terms[0].terms[0].source, other.terms[0].source, allow_dtypes=True)
    found = Similarity(names, terms[0].parameters, Sums.zero(len(terms)))
    layers: dict[tuple[str, int], Sums] = {}
    overlaps: list[tuple[Tensor, Tensor]] = []
    for name, info in terms[0].infos.items():
        sums = _sums(name, info.numel, vectors)
        totals = [found.whole, *(found.groups.setdefault(g, Sums.zero(len(terms))) for g in groups_of(name))]
        layer = layer_of(name)
        if layer is not None:
            totals.append(layers.setdefault(layer, Sums.zero(len(terms))))
        for total in totals:
            total.add(sums)
        if subspace and len(info.shape) == 2 and min(info.shape) > subspace:
            overlaps.append(_overlap([_leading(vector, name, subspace) for vector in terms], info.shape[0]))
        if on_tensor is not None:
            on_tensor(name)
    found.layers = {f"{stack}{index}": layers[stack, index] for stack, index in sorted(layers)}
    if overlaps:
        mean, chance = (torch.stack(parts).nanmean(0) for parts in zip(*overlaps, strict=True))
        found.subspaces = Subspaces(subspace, mean, chance, len(overlaps))
    return found


def rows(matrix: Tensor) -> Matrix:
    """A matrix as lists, None for NaN."""
    return [[None if math.isnan(value) else value for value in row] for row in matrix.tolist()]


def _sums(name: str, numel: int, vectors: Mapping[str, TaskVector]) -> Sums:
    """Over one tensor."""
    sums = Sums.zero(len(vectors))
    for start, stop in ranges(numel, SLICE):
        values = torch.stack([vector.range(name, start, stop, torch.float64) for vector in vectors.values()])
        if not torch.isfinite(values).all():
            wrong = next(n for n, row in zip(vectors, values, strict=True) if not torch.isfinite(row).all())
            raise UserError(f"{name} is not finite in {wrong}; mend its parents first")
        sums.add(Sums.of(values))
    return sums


def _leading(vector: TaskVector, name: str, k: int) -> Tensor:
    """The ``k`` leading left singular vectors, fewer where the matrix is of lower rank: shape (rows, ≤ k)."""
    found = truncated_svd(matrix_of(vector, name), k)
    return found.left[:, found.values > _NOISE * found.values.max()] if found.rank else found.left


def _overlap(bases: Sequence[Tensor], height: int) -> tuple[Tensor, Tensor]:
    """‖UᵀV‖²/min(k, l) for every pair of orthonormal bases of k and l vectors, and what chance gives: max(k, l)/height.

    NaN for a basis of none.
    """
    overlap = torch.full((len(bases), len(bases)), math.nan, dtype=torch.float64)
    chance = overlap.clone()
    for i, first in enumerate(bases):
        for j, second in enumerate(bases[: i + 1]):
            least, most = sorted((first.shape[1], second.shape[1]))
            if least:
                overlap[i, j] = overlap[j, i] = (first.T @ second).square().sum() / least
                chance[i, j] = chance[j, i] = most / height
    return overlap, chance


def _measures(sums: Sums) -> dict[str, Any]:
    return {
        "norms": sums.norms.tolist(),
        "cosine": rows(sums.cosines),
        "sign_agreement": rows(sums.agreement),
        "sign_agreement_weighted": rows(sums.weighted_agreement),
    }
