"""Compressed tensors in safetensors: sparse, 8-bit or of low rank, decoded by ranges as they are read.

Each tensor ``n`` is stored in parts: ``plain:n``; or ``indices:n`` and ``values:n`` (flat, ascending, all else zero);
or ``codes:n`` and ``scales:n`` (int8 times the scale of its block); or ``left:n`` and ``right:n`` (factors).
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.low_rank import Product, Products
from syn2real.merge.tensors import TensorInfo, check_range

# The parts of each way of storing, and the dtypes that they may have.
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGERS = (torch.int32, torch.int64)
LAYOUTS: dict[str, dict[str, tuple[torch.dtype, ...]]] = {
    "plain": {"plain": _FLOATS},
    "sparse": {"indices": _INTEGERS, "values": _FLOATS},
    "int8": {"codes": (torch.int8,), "scales": (torch.float32,)},
    "lowrank": {"left": _FLOATS, "right": _FLOATS},
}


_MOST = 1 << 36  # elements of a tensor; a few bytes can claim any number, which all would be computed


class CompressedTensors:
    """The tensors of a compressed file as a `TensorSource`. Raises `UserError` for parts that do not belong together.

    ``infos`` say float32; tensors of low rank are returned in float64, before their one rounding.
    """

    def __init__(self, file: SafetensorsFile) -> None:
        self._file = file
        content = self._content()
        self.summary: dict[str, Any] = {key: value for key, value in content.items() if key != "tensors"}
        self._kinds: dict[str, str] = {}
        self._blocks: dict[str, int] = {}
        self._checked: set[str] = set()  # tensors whose indices have been looked through
        infos: dict[str, TensorInfo] = {}
        for name, entry in content["tensors"].items():
            infos[name] = self._info(name, entry)
        stored = {f"{part}:{name}" for name, kind in self._kinds.items() for part in LAYOUTS[kind]}
        strange = [name for name in file.infos if name not in stored]
        if strange:
            raise self._damaged(f"{strange[0]} is part of no tensor")
        self.infos: Mapping[str, TensorInfo] = infos
        self._products = Products[str](lambda name: Product(self._part("left", name), self._part("right", name)))

    @property
    def held_bytes(self) -> int:
        """Memory that factors take at most."""
        ranked = [name for name, kind in self._kinds.items() if kind == "lowrank"]
        parts = ([self._file.infos[f"{part}:{name}"].numel for part in LAYOUTS["lowrank"]] for name in ranked)
        return self._products.held_bytes(map(sum, parts))

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        info = self.infos[name]
        return self.read_range(name, 0, info.numel).view(info.shape)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`; only what the range needs is decoded."""
        check_range(self.infos[name], start, stop)
        kind = self._kinds[name]
        if kind == "plain":
            return self._file.read_range(f"plain:{name}", start, stop)
        if kind == "sparse":
            return self._sparse(name, start, stop)
        if kind == "int8":
            block = min(self._blocks[name], max(1, self.infos[name].numel))
            first, last = start // block, -(-stop // block)
            scales = self._file.read_range(f"scales:{name}", first, last)
            spread = scales.repeat_interleave(block)[start - first * block : stop - first * block]
            return self._file.read_range(f"codes:{name}", start, stop) * spread
        return self._products[name].range(start, stop)

    def _sparse(self, name: str, start: int, stop: int) -> Tensor:
        indices = self._part("indices", name)
        if name not in self._checked:
            self._check_indices(name, indices)
            self._checked.add(name)
        ends = torch.searchsorted(indices, torch.tensor([start, stop], dtype=indices.dtype))
        first, last = int(ends[0]), int(ends[1])
        values = torch.zeros(stop - start, dtype=torch.float32)
        places = indices[first:last].to(torch.int64) - start
        values[places] = self._file.read_range(f"values:{name}", first, last).to(torch.float32)
        return values

    def _check_indices(self, name: str, indices: Tensor) -> None:
        if indices.numel():
            ascending = bool((indices[1:] > indices[:-1]).all())
            if not ascending or int(indices[0]) < 0 or int(indices[-1]) >= self.infos[name].numel:
                raise self._damaged(f"the indices of {name} are not in order, or outside of it")

    def _part(self, part: str, name: str) -> Tensor:
        return self._file.read(f"{part}:{name}")

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.metadata["compression"])
            if not isinstance(content["tensors"], dict):
                raise ValueError("tensors")
            content["relative_error"] = float(content["relative_error"])
            if not (isinstance(content["method"], str) and 0 <= content["relative_error"] < math.inf):
                raise ValueError("method or relative_error")
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise self._damaged(f"its compression cannot be read ({error})") from error
        return dict(content)

    def _info(self, name: str, entry: Any) -> TensorInfo:
        """Check the parts of a tensor against its shape."""
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in LAYOUTS:
            raise self._damaged(f"{name} is stored in an unknown way, {kind!r}")
        shape = entry.get("shape")
        whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
        if not whole or math.prod(shape) > _MOST:
            raise self._damaged(f"{name} has an impossible shape")
        info = TensorInfo(tuple(shape), torch.float32)
        parts = {}
        for part, dtypes in LAYOUTS[kind].items():
            found = self._file.infos.get(f"{part}:{name}")
            if found is None or found.dtype not in dtypes:
                raise self._damaged(f"{name} lacks its {part}")
            parts[part] = found
        self._kinds[name] = kind
        if not self._fits(kind, info, parts, entry.get("block"), name):
            raise self._damaged(f"the parts of {name} do not fit its shape {shape}")
        return info

    def _fits(self, kind: str, info: TensorInfo, parts: Mapping[str, TensorInfo], block: Any, name: str) -> bool:
        if kind == "plain":
            return parts["plain"].shape == info.shape
        if kind == "sparse":
            indices = parts["indices"]
            reached = info.numel <= torch.iinfo(indices.dtype).max
            return len(indices.shape) == 1 and indices.shape == parts["values"].shape and reached
        if kind == "int8":
            if type(block) is not int or block < 1:
                return False
            self._blocks[name] = block
            return parts["codes"].numel == info.numel and parts["scales"].numel == -(-info.numel // block)
        left, right = parts["left"].shape, parts["right"].shape
        matrix = (info.shape[0], math.prod(info.shape[1:])) if info.shape else ()
        return len(left) == len(right) == 2 and left[1] == right[0] and (left[0], right[1]) == matrix

    def _damaged(self, problem: str) -> UserError:
        return UserError(f"{self._file.path}: damaged task vector: {problem}; copy or download it again")
