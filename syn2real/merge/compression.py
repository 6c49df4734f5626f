"""Writing task vectors smaller: only the largest elements, 8 bits an element, or factors of low rank.

The error is measured by reading back what was written, and is stored with it.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from syn2real.errors import UserError, did_you_mean
from syn2real.merge.compressed import CompressedTensors
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.formats.safetensors_writer import SafetensorsWriter, file_size
from syn2real.merge.low_rank import Matrix, truncated_svd
from syn2real.merge.selection import largest
from syn2real.merge.tensors import TensorInfo, dtype_name, ranges
from syn2real.merge.vector import TaskVector
from syn2real.merge.vector_file import COMPRESSED, check_output, provenance_metadata
from syn2real.sealing import require_space, sealed_file

Method = Literal["sparse", "lowrank", "int8"]
METHODS = ("sparse", "lowrank", "int8")
SLICE = 1 << 20  # elements worked on at a time
BLOCK = 1 << 15  # elements that share a scale, where rows are short or there are none
SHORT = 64  # rows of fewer elements do not get a scale of their own
Step = Callable[[str], None]


@dataclass
class _Encoding:
    """How each tensor will be stored, and what writes it."""

    settings: dict[str, Any]
    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    infos: dict[str, TensorInfo] = field(default_factory=dict)
    write: Callable[[SafetensorsWriter, str], None] = lambda writer, name: None


def compress(
    vector: TaskVector,
    path: Path | str,
    method: Method,
    *,
    density: float = 0.1,
    rank: int = 16,
    dtype: torch.dtype = torch.float32,
    recipe: Mapping[str, Any] | None = None,
    on_tensor: Step | None = None,
) -> dict[str, Any]:
    """Write ``vector`` compressed to ``path``, whole or not at all; `TaskVector.load` reads it back.

    ``sparse`` keeps exactly the share ``density`` of all elements, the largest of the whole vector; ``lowrank`` stores
    matrices as factors of ``rank`` (convolutions as matrices of their rows), other tensors and those that would not
    shrink as they are; ``int8`` stores elements as multiples of 1/127 of the largest of their row, or of 32768 elements
    where rows are short. ``dtype`` is that of values and factors. Returns the method with its settings,
    ``relative_error`` = ‖τ − τ̂‖/‖τ‖, ``bytes``, and ``ratio`` to the vector in float32.
    """
    path = Path(path)
    if method not in METHODS:
        raise UserError(f"method {method!r}: unknown{did_you_mean(method, METHODS)}")
    if not 0 < density <= 1:
        raise UserError(f"density {density:g}: must be more than 0 and at most 1")
    if rank < 1:
        raise UserError(f"rank {rank}: must be at least 1")
    check_output(vector, path, dtype)
    tell = on_tensor or (lambda name: None)
    if method == "sparse":
        encoding = _sparse(vector, density, dtype)
    elif method == "int8":
        encoding = _int8(vector)
    else:
        encoding = _low_rank(vector, rank, dtype, tell)
    metadata = _metadata(vector, encoding, recipe or {}, 0.0)
    size = file_size(encoding.infos, metadata)
    require_space(path, size)
    with sealed_file(path) as partial:
        with SafetensorsWriter(partial, encoding.infos, metadata) as writer:
            for name in encoding.tensors:
                encoding.write(writer, name)
                if method != "lowrank":
                    tell(name)
        error = relative_error(vector, CompressedTensors(SafetensorsFile(partial)))
        if not math.isfinite(error):
            raise UserError("the vector's numbers are too large for a relative error; scale it down first")
        metadata = _metadata(vector, encoding, recipe or {}, error)
        with SafetensorsWriter(partial, encoding.infos, metadata, keep=True):
            pass  # only the header changes, and not in length
    return {
        **encoding.settings,
        "relative_error": error,
        "bytes": size,
        "ratio": vector.parameters * torch.float32.itemsize / size,
    }


def relative_error(vector: TaskVector, approximation: Any) -> float:
    """‖τ − τ̂‖/‖τ‖ over all elements; 0 for a vector of zeros."""
    parts = []
    for name in vector.names:
        parts += squares(vector, name, partial(approximation.read_range, name))
    missed, total = (math.fsum(column) for column in zip(*parts, strict=True)) if parts else (0.0, 0.0)
    return math.sqrt(missed / total) if total else 0.0


def squares(vector: TaskVector, name: str, read: Callable[[int, int], Tensor]) -> list[tuple[float, float]]:
    """‖τ − τ̂‖² and ‖τ‖² of one tensor, slice by slice; ``read`` gives a range of τ̂."""
    found = []
    for start, stop in ranges(vector.infos[name].numel, SLICE):
        values = vector.range(name, start, stop, torch.float64)
        apart = values - read(start, stop)
        found.append((torch.dot(apart, apart).item(), torch.dot(values, values).item()))
    return found


def _metadata(vector: TaskVector, encoding: _Encoding, recipe: Mapping[str, Any], error: float) -> dict[str, str]:
    # The error is known last, so it is written with a fixed width.
    stated = f"{max(error, 1e-99):.6e}" if error else "0.000000e+00"
    content = {**encoding.settings, "relative_error": stated, "tensors": encoding.tensors}
    return provenance_metadata(vector, recipe, COMPRESSED) | {"compression": json.dumps(content, sort_keys=True)}


def _slices(vector: TaskVector, name: str) -> Iterator[tuple[int, Tensor]]:
    """Float64, possibly a view of a file: not to be overwritten."""
    for start, stop in ranges(vector.infos[name].numel, SLICE):
        yield start, _finite(vector.range(name, start, stop, torch.float64), name)


def _finite(values: Tensor, name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    if not torch.isfinite(values).all():
        raise UserError(f"{name} is not finite in {dtype_name(dtype)}; mend the vector's parents first")
    return values


def _sparse(vector: TaskVector, density: float, dtype: torch.dtype) -> _Encoding:
    count = vector.parameters
    keep = max(1, round(density * count)) if count else 0

    def magnitudes() -> Iterator[Tensor]:
        for name in vector.names:
            for _, values in _slices(vector, name):
                yield values.abs()

    cut = largest(magnitudes, count, keep)
    encoding = _Encoding({"method": "sparse", "density": density, "kept": keep, "dtype": dtype_name(dtype)})
    ties: dict[str, int] = {}  # how many may still be taken when a tensor begins
    left = cut.ties
    for name, info in vector.infos.items():
        ties[name], kept = left, 0
        for _, values in _slices(vector, name):
            mask, left = cut.mask(values.abs(), left)
            kept += int(mask.sum())
        encoding.tensors[name] = {"kind": "sparse", "shape": list(info.shape)}
        narrow = info.numel <= torch.iinfo(torch.int32).max
        encoding.infos[f"indices:{name}"] = TensorInfo((kept,), torch.int32 if narrow else torch.int64)
        encoding.infos[f"values:{name}"] = TensorInfo((kept,), dtype)

    def write(writer: SafetensorsWriter, name: str) -> None:
        at, still = 0, ties[name]
        for start, values in _slices(vector, name):
            mask, still = cut.mask(values.abs(), still)
            places = mask.nonzero().view(-1)
            kind = writer.infos[f"indices:{name}"].dtype
            writer.write(f"indices:{name}", at, (places + start).to(kind))
            writer.write(f"values:{name}", at, _finite(values[places].to(dtype), name, dtype))
            at += places.numel()

    encoding.write = write
    return encoding


def _int8(vector: TaskVector) -> _Encoding:
    encoding = _Encoding({"method": "int8"})
    for name, info in vector.infos.items():
        row = math.prod(info.shape[1:]) if len(info.shape) > 1 else 0
        block = row if SHORT <= row <= BLOCK else BLOCK
        encoding.tensors[name] = {"kind": "int8", "shape": list(info.shape), "block": block}
        encoding.infos[f"codes:{name}"] = TensorInfo(info.shape, torch.int8)
        encoding.infos[f"scales:{name}"] = TensorInfo((-(-info.numel // block),), torch.float32)

    def write(writer: SafetensorsWriter, name: str) -> None:
        numel, block = vector.infos[name].numel, encoding.tensors[name]["block"]
        for start, stop in ranges(numel, max(1, SLICE // block) * block):
            values = _finite(vector.range(name, start, stop, torch.float64), name)
            padded = torch.nn.functional.pad(values, (0, -values.numel() % block)).view(-1, block)
            scales = _finite((padded.abs().amax(1) / 127).to(torch.float32), name)
            steps = torch.where(scales > 0, scales, 1.0).to(torch.float64)
            codes = (padded / steps[:, None]).round_().clamp_(-127, 127).to(torch.int8)
            writer.write(f"codes:{name}", start, codes.view(-1)[: values.numel()])
            writer.write(f"scales:{name}", start // block, scales)

    encoding.write = write
    return encoding


def _low_rank(vector: TaskVector, rank: int, dtype: torch.dtype, tell: Step) -> _Encoding:
    encoding = _Encoding({"method": "lowrank", "rank": rank, "dtype": dtype_name(dtype)})
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name, info in vector.infos.items():
        rows, columns = info.shape[0] if info.shape else 1, math.prod(info.shape[1:])
        if len(info.shape) > 1 and rank * (rows + columns) < info.numel:
            found = truncated_svd(matrix_of(vector, name), rank)
            root = found.values.sqrt()
            left, right = (found.left * root).to(dtype), (root[:, None] * found.right).to(dtype)
            factors[name] = (_finite(left, name, dtype), _finite(right, name, dtype))
            encoding.tensors[name] = {"kind": "lowrank", "shape": list(info.shape)}
            encoding.infos |= {
                f"left:{name}": TensorInfo(tuple(left.shape), dtype),
                f"right:{name}": TensorInfo(tuple(right.shape), dtype),
            }
        else:
            encoding.tensors[name] = {"kind": "plain", "shape": list(info.shape)}
            encoding.infos[f"plain:{name}"] = TensorInfo(info.shape, dtype)
        tell(name)

    def write(writer: SafetensorsWriter, name: str) -> None:
        if name in factors:
            left, right = factors[name]
            writer.write(f"left:{name}", 0, left.reshape(-1))
            writer.write(f"right:{name}", 0, right.reshape(-1))
        else:
            for start, stop in ranges(vector.infos[name].numel, SLICE):
                writer.write(f"plain:{name}", start, _finite(vector.range(name, start, stop, dtype), name, dtype))

    encoding.write = write
    return encoding


def matrix_of(vector: TaskVector, name: str) -> Matrix:
    """A tensor of a vector as a matrix: its first dimension by all others."""
    shape = vector.infos[name].shape
    columns = math.prod(shape[1:])

    def rows(start: int, stop: int) -> Tensor:
        values = vector.range(name, start * columns, stop * columns, torch.float64)
        return _finite(values, name).view(stop - start, columns)

    return Matrix((shape[0], columns), rows)
