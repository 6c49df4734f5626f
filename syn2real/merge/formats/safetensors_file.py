"""Reading safetensors: the header is validated whole before a byte of any weight is trusted.

Layout: header length (u64, little-endian), header (JSON), data. Each header entry gives dtype, shape and the byte
range within the data; together the ranges must cover the data without holes or overlaps.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.formats.mapped_file import MappedFile
from syn2real.merge.tensors import TensorInfo, check_range

MAX_HEADER = 100_000_000  # bytes; the reference implementation's own limit
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}


class SafetensorsFile:
    """One ``.safetensors`` file as a `TensorSource`; reads are zero-copy.

    Raises `UserError` for a file that is truncated or whose header does not describe its data exactly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = MappedFile(path)
        header, data_start = _header(self._file)
        self.metadata: Mapping[str, str] = MappingProxyType(_metadata(path, header))
        infos, self._offsets = _entries(path, header, data_start, self._file.size)
        self.infos: Mapping[str, TensorInfo] = MappingProxyType(infos)

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        info = self.infos[name]
        return self._file.tensor(self._offsets[name], info.dtype, info.numel).view(info.shape)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`."""
        info = self.infos[name]
        check_range(info, start, stop)
        return self._file.tensor(self._offsets[name] + start * info.dtype.itemsize, info.dtype, stop - start)


def _header(file: MappedFile) -> tuple[dict[str, Any], int]:
    """The parsed header and the offset at which the data begins."""
    length = int.from_bytes(file.bytes(0, 8), "little")
    if file.size < 8 or length > MAX_HEADER or 8 + length > file.size:
        raise _damaged(file.path, f"its header claims {length} bytes in a file of {file.size}")
    try:
        header = json.loads(file.bytes(8, length).decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _damaged(file.path, f"its header is not valid JSON ({error})") from error
    if not isinstance(header, dict):
        raise _damaged(file.path, "its header is not a JSON object")
    return header, 8 + length


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _metadata(path: Path, header: dict[str, Any]) -> dict[str, str]:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, "its metadata is not a map of strings")
    return metadata


def _entries(
    path: Path, header: dict[str, Any], data_start: int, size: int
) -> tuple[dict[str, TensorInfo], dict[str, int]]:
    """Infos in file order, and the absolute byte offset of each tensor."""
    found: list[tuple[int, int, str, TensorInfo]] = []
    for name, entry in header.items():
        if not name.isprintable():
            raise _damaged(path, f"the name {name!a} holds characters that cannot be printed")
        info, begin, end = _entry(path, name, entry)
        if end - begin != info.nbytes:
            raise _damaged(path, f"{name} claims {end - begin} bytes where its shape needs {info.nbytes}")
        found.append((begin, end, name, info))
    found.sort(key=lambda item: item[:2])
    expected = 0
    for begin, end, name, _ in found:
        if begin != expected:
            raise _damaged(path, f"{name} begins at byte {begin} of the data instead of {expected}")
        expected = end
    if data_start + expected != size:
        raise _damaged(path, f"its header describes {expected} bytes of data, the file holds {size - data_start}")
    return {name: info for _, _, name, info in found}, {name: data_start + begin for begin, _, name, _ in found}


def _entry(path: Path, name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    try:
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"{name} lacks a dtype, a shape or two data offsets") from error
    numbers = [begin, end, *shape] if isinstance(shape, list) else [None]
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers) or prod(shape) >= 2**60:
        raise _damaged(path, f"{name} has an impossible shape or offset")
    if kind not in DTYPES:
        raise UserError(f"{path}: {name} has dtype {kind!r}, which is not supported; use float16, bfloat16 or float32")
    return TensorInfo(tuple(shape), DTYPES[kind]), begin, end


def _damaged(path: Path, problem: str) -> UserError:
    return UserError(f"{path}: not a sound safetensors file: {problem}; copy or download it again")
