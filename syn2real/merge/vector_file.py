"""Task vectors on disk: safetensors whose metadata says what they were made of."""

import json
import math
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import syn2real
from syn2real.errors import UserError
from syn2real.hashing import remembered_sha256
from syn2real.merge import references
from syn2real.merge.compressed import CompressedTensors
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.formats.safetensors_writer import SafetensorsWriter, file_size
from syn2real.merge.tensors import TensorInfo, TensorSource, dtype_name, ranges
from syn2real.merge.vector import TASK_VECTOR, TaskVector, check_carried
from syn2real.sealing import require_space, sealed_file

SLICE = 1 << 20  # elements written at a time
PLAIN, COMPRESSED = "1", "2"  # versions of the format
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class StoredVector:
    """A saved task vector as a `Source`; ``recipe`` is what it was saved with.

    Raises `UserError` for a file that is no task vector, or one of a later version.
    """

    stored_vector = True

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            what = "a directory" if path.is_dir() else "no such file"
            raise UserError(f"{path}: {what}; give a task vector saved by syn2real, a .safetensors file")
        self.path = path
        self._file = SafetensorsFile(path)
        metadata = self._file.metadata
        if metadata.get("format") != TASK_VECTOR:
            raise UserError(f"{path}: not a task vector but other safetensors; subtract two checkpoints to make one")
        if metadata.get("version") not in (PLAIN, COMPRESSED):
            raise UserError(f"{path}: task vector of version {metadata.get('version')}; update syn2real to read it")
        try:
            self.parents: list[dict[str, Any]] = json.loads(metadata["parents"])
            self.recipe: dict[str, Any] = json.loads(metadata["recipe"])
            if not (isinstance(self.recipe, dict) and _sound(self.parents)):
                raise ValueError("no names, hashes and coefficients")
            json.dumps([self.parents, self.recipe], ensure_ascii=False).encode()  # ValueError for half a character
        except (KeyError, ValueError, OverflowError, RecursionError) as error:
            raise UserError(f"{path}: damaged task vector: its metadata cannot be read ({error})") from error
        # How it is compressed, with its relative error; empty when it is not.
        self.compression: dict[str, Any] = {}
        self._tensors: TensorSource = self._file
        if metadata["version"] == COMPRESSED:
            compressed = CompressedTensors(self._file)
            self.compression, self._tensors = compressed.summary, compressed
        self.infos: Mapping[str, TensorInfo] = self._tensors.infos
        strange = [name for name, info in self.infos.items() if not info.is_float]
        if strange or not self.infos:
            raise UserError(f"{path}: damaged task vector: {strange[:1] or 'no tensors'}, which is no real weights")
        stat = path.stat()
        self.identity: Hashable = ((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size),)

    @property
    def held_bytes(self) -> int:
        """Memory that reading takes for good, at most: the factors of a vector of low rank."""
        return getattr(self._tensors, "held_bytes", 0)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return remembered_sha256(self.path)

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        return self._tensors.read(name)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`."""
        return self._tensors.read_range(name, start, stop)


def _sound(parents: Any) -> bool:
    """Whether these are entries of `TaskVector.provenance`."""
    return isinstance(parents, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("sha256"), str)
        and isinstance(one.get("coefficient", 1.0), int | float)
        and math.isfinite(one.get("coefficient", 1.0))
        and _sound(one.get("parents", []))
        for one in parents
    )


def is_vector(path: Path) -> bool:
    """Whether a file is a stored task vector, of whatever version."""
    try:
        return path.is_file() and SafetensorsFile(path).metadata.get("format") == TASK_VECTOR
    except UserError:
        return False


def save(
    vector: TaskVector,
    path: Path,
    dtype: torch.dtype,
    recipe: Mapping[str, Any],
    on_tensor: Callable[[str], None] | None = None,
) -> None:
    """Write ``vector`` to ``path`` in ``dtype``, a slice of a tensor at a time; the same vector gives the same bytes.

    ``on_tensor`` is called with each name once it is written. Raises `UserError` for a dtype that is not
    floating-point, a full disk, a value that ``dtype`` cannot hold, and an output that is one of the inputs;
    `CheckpointMismatch` for integer tensors that differ.
    """
    check_output(vector, path, dtype)
    infos = {name: TensorInfo(info.shape, dtype) for name, info in vector.infos.items()}
    metadata = provenance_metadata(vector, recipe)
    require_space(path, file_size(infos, metadata))
    with sealed_file(path) as partial, SafetensorsWriter(partial, infos, metadata) as writer:
        for name, info in writer.infos.items():
            for start, stop in ranges(info.numel, SLICE):
                values = vector.range(name, start, stop, dtype)
                if not torch.isfinite(values).all():
                    raise UserError(f"{name} is not finite in {dtype_name(dtype)}; save as float32 or mend its parents")
                writer.write(name, start, values)
            if on_tensor is not None:
                on_tensor(name)


def check_output(vector: TaskVector, path: Path, dtype: torch.dtype) -> None:
    """Raise `UserError` for an impossible dtype or output, `CheckpointMismatch` for integer tensors that differ."""
    if dtype not in DTYPES:
        raise UserError(f"{dtype_name(dtype)}: choose from {', '.join(map(dtype_name, DTYPES))}")
    if path.is_dir():
        raise UserError(f"{path}: is a directory; give the name of a file, for instance {path / 'tau.safetensors'}")
    if not vector.infos:
        raise UserError(f"{vector.terms[0].source.name}: holds no floating-point weights to take the difference of")
    for term in vector.terms:
        inputs = [*references.parts(term.source.path), *getattr(term.source, "files", ())]  # a model's shards
        if path.resolve() in {part.resolve() for part in inputs}:
            raise UserError(f"{path}: is one of the vector's own inputs; choose another output")
        beside = getattr(term.source, "directory", None)
        if beside is not None and path.exists() and path.resolve().parent == Path(beside).resolve():
            raise UserError(f"{path}: belongs to {term.source.name}, which goes into the vector; choose another output")
    for name, info in vector.terms[0].source.infos.items():
        if not info.is_float:
            check_carried(vector.terms, name)


def provenance_metadata(vector: TaskVector, recipe: Mapping[str, Any], version: str = PLAIN) -> dict[str, str]:
    """The metadata of a stored vector."""
    return {
        "format": TASK_VECTOR,
        "version": version,
        "syn2real": syn2real.__version__,
        "parents": json.dumps(vector.provenance, sort_keys=True),
        "recipe": json.dumps(recipe, sort_keys=True),
    }
