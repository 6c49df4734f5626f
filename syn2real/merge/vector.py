"""Task vectors: linear combinations of checkpoints by tensor name, computed only when a tensor is asked for.

After Ilharco et al., "Editing models with task arithmetic" (2023): τ = θ_a − θ_b, and vectors add, scale and negate.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.arithmetic import combine
from syn2real.merge.compatibility import require_carried, require_compatible
from syn2real.merge.tensors import TensorInfo, TensorSource

if TYPE_CHECKING:
    from syn2real.merge.checkpoint import Checkpoint
    from syn2real.merge.merged import Merged

TASK_VECTOR = "syn2real.task_vector"  # the format tag in a stored vector's metadata


class Source(TensorSource, Protocol):
    """A term's tensors, and where they come from."""

    @property
    def path(self) -> Path:
        """What was opened."""
        ...

    @property
    def name(self) -> str:
        """What records call it: no directories."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the weights; computed when first asked for."""
        ...

    @property
    def identity(self) -> Hashable:
        """Equal for two openings of the same files."""
        ...

    @property
    def stored_vector(self) -> bool:
        """Whether this is a task vector on disk: it holds no integer tensors, in a dtype of its own."""
        ...

    @property
    def parents(self) -> list[dict[str, Any]]:
        """What a stored vector was made of, as `TaskVector.provenance`; empty for a checkpoint."""
        ...

    @property
    def held_bytes(self) -> int:
        """Memory that reading takes for good, at most: the factors of matrices of low rank."""
        ...


@dataclass(frozen=True)
class Term:
    """A coefficient and what it scales; ``addends`` are the coefficients that it sums, where there are several.

    They are kept for sums to come, which are rounded once and so do not depend on the order of adding.
    """

    coefficient: float
    source: Source
    addends: tuple[float, ...] = ()

    @classmethod
    def sum(cls, addends: Sequence[float], source: Source) -> "Term":
        """The term of coefficients that are added up; not a number where they add up to none."""
        try:
            total = math.fsum(addends)
        except (OverflowError, ValueError):  # too large, or infinities of both signs
            total = math.nan
        return cls(total, source, tuple(addends) if len(addends) > 1 else ())

    def map(self, scale: Callable[[float], float]) -> "Term":
        """With every coefficient scaled."""
        return Term.sum([scale(addend) for addend in self.addends or (self.coefficient,)], self.source)


class TaskVector:
    """An immutable sum of scaled checkpoints and stored vectors; nothing is read before a tensor is asked for.

    Terms over the same files are combined, so that (a − b) + b is a, bit by bit. They are added in an order of their
    own (largest coefficient first, then by name), so that the order of writing does not matter. Combining raises
    `CheckpointMismatch` with everything that differs, and `UserError` for a coefficient that is not finite.
    """

    def __init__(self, terms: Iterable[Term], *, allow_dtypes: bool = False) -> None:
        self.terms = combine_terms(terms)
        self.allow_dtypes = allow_dtypes
        first = self.terms[0].source
        for term in self.terms[1:]:
            check_sources(first, term.source, allow_dtypes=allow_dtypes)

    @classmethod
    def between(cls, a: "Checkpoint", b: "Checkpoint", *, allow_dtypes: bool = False) -> "TaskVector":
        """θ_a − θ_b. ``allow_dtypes`` accepts floating-point tensors of different widths."""
        require_compatible(a.name, a.infos, b.name, b.infos, allow_dtypes=allow_dtypes)
        return cls([Term(1.0, a), Term(-1.0, b)], allow_dtypes=allow_dtypes)

    @classmethod
    def mean(cls, vectors: Iterable["TaskVector"], weights: Sequence[float] | None = None) -> "TaskVector":
        """The mean of several vectors, weighted by ``weights`` where given.

        Raises `UserError` without any vector, and for weights that are too few, too many, not finite or add up to 0.
        """
        vectors = list(vectors)
        if not vectors:
            raise UserError("the mean of no task vectors is undefined; give at least one")
        weights = [1.0] * len(vectors) if weights is None else [float(weight) for weight in weights]
        if len(weights) != len(vectors):
            raise UserError(f"{len(weights)} weights for {len(vectors)} task vectors; give one each")
        try:
            total = math.fsum(weights)
        except OverflowError:
            total = math.inf
        if not math.isfinite(total) or total == 0.0:
            raise UserError(f"the weights of a mean add up to {total:g}; they must be finite, and not cancel out")
        shares = [weight / total for weight in weights]
        pairs = zip(vectors, shares, strict=True)
        terms = [term.map(partial(mul, share)) for vector, share in pairs for term in vector.terms]
        return cls(terms, allow_dtypes=any(vector.allow_dtypes for vector in vectors))

    @classmethod
    def load(cls, path: Path | str) -> "TaskVector":
        """A vector that `save` wrote. Raises `UserError` for any other file."""
        from syn2real.merge.vector_file import StoredVector

        return cls([Term(1.0, StoredVector(Path(path)))])

    def __add__(self, other: "TaskVector") -> "TaskVector":
        if not isinstance(other, TaskVector):
            return NotImplemented
        return TaskVector([*self.terms, *other.terms], allow_dtypes=self.allow_dtypes or other.allow_dtypes)

    def __sub__(self, other: "TaskVector") -> "TaskVector":
        if not isinstance(other, TaskVector):
            return NotImplemented
        return self + -other

    def __neg__(self) -> "TaskVector":
        return self * -1.0

    def __mul__(self, scale: float) -> "TaskVector":
        if isinstance(scale, bool) or not isinstance(scale, int | float):
            return NotImplemented
        terms = [term.map(lambda coefficient: coefficient * scale) for term in self.terms]
        return TaskVector(terms, allow_dtypes=self.allow_dtypes)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "TaskVector":
        if isinstance(divisor, bool) or not isinstance(divisor, int | float):
            return NotImplemented
        if divisor == 0:
            raise UserError("a task vector cannot be divided by 0")
        terms = [term.map(lambda coefficient: coefficient / divisor) for term in self.terms]
        return TaskVector(terms, allow_dtypes=self.allow_dtypes)

    def anchored(self, anchor: "Checkpoint") -> "Merged":
        """This sum as a model of its own, under the names, configuration and tokenizer of ``anchor``."""
        from syn2real.merge.merged import Merged

        return Merged.of(self, anchor)

    def __repr__(self) -> str:
        return f"TaskVector({' '.join(f'{term.coefficient:+g}·{term.source.name}' for term in self.terms)})"

    @cached_property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Floating-point tensors as float32, which is what `tensor` returns."""
        stored = self.terms[0].source.infos
        return {name: TensorInfo(info.shape, torch.float32) for name, info in stored.items() if info.is_float}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors that the vector moves: the floating-point ones."""
        return tuple(self.infos)

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return sum(info.numel for info in self.infos.values())

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Each term's name, SHA-256, coefficient and, for a stored vector, own parents. Hashes files on first use."""
        return [provenance_of(term) for term in self.terms]

    def tensor(self, name: str) -> Tensor:
        """A whole tensor, float32, in its shape. Raises `KeyError` for an unknown name."""
        return self.range(name, 0, self.infos[name].numel).view(self.infos[name].shape)

    def range(self, name: str, start: int, stop: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Elements ``start`` to ``stop`` of the flattened tensor, rounded once to ``dtype``: shape (stop − start,)."""
        return combined_range(self.terms, name, start, stop, dtype)

    def norms(self) -> dict[str, float]:
        """Euclidean norm of each tensor. Reads everything, a piece at a time."""
        from syn2real.merge.measures import norms

        return norms(self)

    def norm(self) -> float:
        """Euclidean norm of all tensors together."""
        return math.sqrt(math.fsum(norm**2 for norm in self.norms().values()))

    def save(
        self,
        path: Path | str,
        dtype: torch.dtype = torch.float32,
        recipe: Mapping[str, Any] | None = None,
        on_tensor: Callable[[str], None] | None = None,
    ) -> None:
        """Write a safetensors file with its provenance, whole or not at all; ``recipe`` is any JSON worth keeping."""
        from syn2real.merge.vector_file import save

        save(self, Path(path), dtype, recipe or {}, on_tensor)

    def info(self) -> dict[str, Any]:
        """What `syn2real vector info` prints; see `syn2real.merge.measures.describe`."""
        from syn2real.merge.measures import describe

        return describe(self)


def combine_terms(terms: Iterable[Term]) -> tuple[Term, ...]:
    """One term per source, in the order of summation. A source that cancels out stays, with coefficient 0, unread."""
    coefficients: dict[Hashable, list[float]] = {}
    sources: dict[Hashable, Source] = {}
    for term in terms:
        if not math.isfinite(term.coefficient):
            raise UserError(f"{term.source.name}: coefficient {term.coefficient} is not a finite number")
        coefficients.setdefault(term.source.identity, []).extend(term.addends or (term.coefficient,))
        sources.setdefault(term.source.identity, term.source)
    combined = [Term.sum(coefficients[key], source) for key, source in sources.items()]
    if not combined:
        raise UserError("a task vector needs at least one term")
    return tuple(sorted(combined, key=_order))


def _order(term: Term) -> tuple[float, float, str, str]:
    return -abs(term.coefficient), -term.coefficient, term.source.name, str(term.source.path)


def check_sources(first: Source, second: Source, *, allow_dtypes: bool) -> None:
    """Raise `CheckpointMismatch` unless the tensors agree. A stored vector's own dtype is never a mismatch."""
    stored = first.stored_vector or second.stored_vector
    require_compatible(
        first.name,
        first.infos,
        second.name,
        second.infos,
        allow_dtypes=allow_dtypes or stored,
        floats_only=stored,
    )


def combined_range(terms: Iterable[Term], name: str, start: int, stop: int, dtype: torch.dtype) -> Tensor:
    """Σ cᵢ·θᵢ over a flat range of a floating-point tensor, rounded once to ``dtype``; zero terms are not read."""
    pieces = [(t.coefficient, t.source.read_range(name, start, stop)) for t in terms if t.coefficient != 0.0]
    return combine(pieces, dtype) if pieces else torch.zeros(stop - start, dtype=dtype)


def check_carried(terms: Iterable[Term], name: str) -> None:
    """Raise `CheckpointMismatch` unless every source that has the integer or boolean tensor ``name`` has the same."""
    require_carried(name, [(term.source.name, term.source) for term in terms if name in term.source.infos])


def provenance_of(term: Term) -> dict[str, Any]:
    """A term as JSON: name, SHA-256, coefficient, and a stored vector's parents."""
    entry: dict[str, Any] = {
        "name": term.source.name,
        "sha256": term.source.sha256,
        "coefficient": term.coefficient,
    }
    return entry | ({"parents": term.source.parents} if term.source.stored_vector else {})
