"""Measures of task vectors: norms, cosines, and where in the model a vector is largest."""

import math
import re
from typing import Any

import torch

from syn2real.errors import UserError
from syn2real.hashing import sha256_json
from syn2real.merge.tensors import dtype_name, ranges
from syn2real.merge.vector import TaskVector, check_sources

SLICE = 1 << 22  # elements read at a time: 32 MB in float64
LARGEST = 10  # groups that `describe` lists


def norms(vector: TaskVector) -> dict[str, float]:
    """Euclidean norm of each tensor, by name; squares are summed in float64."""
    found = {}
    for name, info in vector.infos.items():
        squares = []
        for start, stop in ranges(info.numel, SLICE):
            values = vector.range(name, start, stop, torch.float64)
            squares.append(torch.dot(values, values).item())
        found[name] = math.sqrt(math.fsum(squares))
    return found


def cosine(a: TaskVector, b: TaskVector) -> float:
    """⟨a, b⟩ / (‖a‖ ‖b‖) over all tensors, in [−1, 1]. Raises `UserError` when either vector is zero."""
    check_sources(a.terms[0].source, b.terms[0].source, allow_dtypes=True)
    products: list[float] = []
    a_squares: list[float] = []
    b_squares: list[float] = []
    for name, info in a.infos.items():
        for start, stop in ranges(info.numel, SLICE):
            x, y = (vector.range(name, start, stop, torch.float64) for vector in (a, b))
            products.append(torch.dot(x, y).item())
            a_squares.append(torch.dot(x, x).item())
            b_squares.append(torch.dot(y, y).item())
    size = math.sqrt(math.fsum(a_squares)) * math.sqrt(math.fsum(b_squares))
    if size == 0:
        raise UserError("the cosine with a zero task vector is undefined; are two of its checkpoints the same?")
    return max(-1.0, min(1.0, math.fsum(products) / size))


def group_of(name: str) -> str:
    """The layer a tensor belongs to: its name up to the first number, else without its last part.

    >>> group_of("model.encoder.layers.0.self_attn.q_proj.weight")
    'model.encoder.layers.0'
    >>> group_of("model.decoder.embed_tokens.weight")
    'model.decoder.embed_tokens'
    """
    layer = re.match(r"(?:[^.]+\.)*?\d+(?=\.)", name)
    return layer[0] if layer else name.rpartition(".")[0] or name


def describe(vector: TaskVector) -> dict[str, Any]:
    """A JSON summary: parents, tensors, parameters, norm, stored dtype, hash, and the largest groups.

    ``relative_norm`` compares root mean squares: 2 means that the group's elements are twice those of the whole vector.
    """
    by_name = norms(vector)
    total = math.sqrt(math.fsum(norm**2 for norm in by_name.values()))
    squares: dict[str, float] = {}
    counts: dict[str, int] = {}
    for name, norm in by_name.items():
        group = group_of(name)
        squares[group] = squares.get(group, 0.0) + norm**2
        counts[group] = counts.get(group, 0) + vector.infos[name].numel
    mean_square = total**2 / vector.parameters if vector.parameters else 0.0
    relative = {
        group: math.sqrt(square / counts[group] / mean_square) if mean_square and counts[group] else 0.0
        for group, square in squares.items()
    }
    groups = [
        {"group": g, "parameters": counts[g], "norm": math.sqrt(squares[g]), "relative_norm": relative[g]}
        for g in sorted(relative, key=lambda g: (-relative[g], g))
    ]
    source = vector.terms[0].source
    alone = len(vector.terms) == 1 and source.stored_vector and vector.terms[0].coefficient == 1.0
    provenance = vector.provenance
    compression = getattr(source, "compression", {}) if alone else {}
    return {
        "parents": source.parents if alone else provenance,
        "tensors": len(vector.names),
        "parameters": vector.parameters,
        "norm": total,
        "largest_groups": groups[:LARGEST],
        "dtype": "+".join(sorted({dtype_name(source.infos[name].dtype) for name in vector.names})),
        "sha256": source.sha256 if alone else sha256_json(provenance),
    } | ({"compression": compression} if compression else {})
