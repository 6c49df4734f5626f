"""A checkpoint plus a task vector: the merged model, computed only as it is read or written."""

from collections.abc import Mapping

import torch
from torch import Tensor

from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.tensors import TensorInfo
from syn2real.merge.vector import (
    TaskVector,
    Term,
    check_carried,
    check_sources,
    combine_terms,
    combined_range,
)


class Merged:
    """θ* = θ_anchor + τ by tensor name. Names, shapes, dtypes and sidecar files are the anchor's.

    Nothing is read on making one, but everything is checked: raises `CheckpointMismatch` when the vector does not fit.
    ``allow_dtypes`` accepts a vector between checkpoints of another floating-point width than the anchor's.
    """

    def __init__(self, anchor: Checkpoint, vector: TaskVector, *, allow_dtypes: bool = False) -> None:
        self._set(anchor, [Term(1.0, anchor), *vector.terms], allow_dtypes or vector.allow_dtypes)

    @classmethod
    def of(cls, total: TaskVector, anchor: Checkpoint, *, allow_dtypes: bool = False) -> "Merged":
        """θ* = Σ cᵢθᵢ as it stands, such as ``0.5 * a + 0.5 * b``, under the names of ``anchor``."""
        merged = cls.__new__(cls)
        merged._set(anchor, list(total.terms), allow_dtypes or total.allow_dtypes)
        return merged

    def _set(self, anchor: Checkpoint, terms: list[Term], allow_dtypes: bool) -> None:
        for term in terms:
            if term.source is not anchor:
                check_sources(anchor, term.source, allow_dtypes=allow_dtypes)
        self.anchor = anchor
        self.allow_dtypes = allow_dtypes
        self.terms = combine_terms(terms)

    def __add__(self, vector: TaskVector) -> "Merged":
        if not isinstance(vector, TaskVector):
            return NotImplemented
        total = TaskVector([*self.terms, *vector.terms], allow_dtypes=self.allow_dtypes or vector.allow_dtypes)
        return Merged.of(total, self.anchor)

    def __sub__(self, vector: TaskVector) -> "Merged":
        if not isinstance(vector, TaskVector):
            return NotImplemented
        return self + -vector

    def __repr__(self) -> str:
        return f"Merged({' '.join(f'{term.coefficient:+g}·{term.source.name}' for term in self.terms)})"

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """The anchor's shapes and dtypes."""
        return self.anchor.infos

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """A whole tensor in its shape, in ``dtype`` or the anchor's. Raises `KeyError` for an unknown name."""
        info = self.infos[name]
        return self.range(name, 0, info.numel, dtype).view(info.shape)

    def range(self, name: str, start: int, stop: int, dtype: torch.dtype | None = None) -> Tensor:
        """Elements ``start`` to ``stop`` of the flattened tensor, rounded once: shape (stop − start,).

        Tensors of integers are the anchor's, whole or in part; `CheckpointMismatch` when the sources differ in them.
        """
        info = self.infos[name]
        if not info.is_float:
            check_carried([Term(1.0, self.anchor), *self.terms], name)
            return self.anchor.read_range(name, start, stop)
        return combined_range(self.terms, name, start, stop, dtype or info.dtype)
