"""Writing safetensors without holding them: the file is laid out first, then filled range by range, in any order."""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from syn2real.merge.formats.safetensors_file import DTYPES
from syn2real.merge.tensors import TensorInfo, check_range

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class SafetensorsWriter:
    """A preallocated safetensors file. Use as a context manager and write every range exactly once.

    Tensors keep the order of ``infos`` except that wider dtypes come first, so that each stays aligned; the reference
    implementation orders them likewise. The bytes depend on the arguments alone. With ``keep`` the data of a file that
    is there already is kept, to be filled further. Several threads may write at once, each its own ranges.
    """

    def __init__(
        self, path: Path, infos: Mapping[str, TensorInfo], metadata: Mapping[str, str], *, keep: bool = False
    ) -> None:
        self.infos = _ordered(infos)
        header, self._offsets, size = _layout(self.infos, metadata)
        fresh = 0 if keep else os.O_TRUNC
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | fresh | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _allocate(self._descriptor, size)
            _write_all(self._descriptor, memoryview(header), 0)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, name: str, start: int, values: Tensor) -> None:
        """Store 1-D ``values`` as elements ``start`` … of the flattened tensor ``name``; the dtype must be its own."""
        info = self.infos[name]
        check_range(info, start, start + values.numel())
        if values.dtype != info.dtype:
            raise TypeError(f"{name} is {info.dtype}, not {values.dtype}")
        if values.numel():
            raw = values.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
            _write_all(self._descriptor, raw, self._offsets[name] + start * info.dtype.itemsize)

    def flush(self) -> None:
        """Force what has been written to disk."""
        getattr(os, "fdatasync", os.fsync)(self._descriptor)

    def __enter__(self) -> "SafetensorsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def file_size(infos: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> int:
    """Bytes that a safetensors file with these tensors takes."""
    return _layout(_ordered(infos), metadata)[2]


def _ordered(infos: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Wider dtypes first."""
    return dict(sorted(infos.items(), key=lambda item: -item[1].dtype.itemsize))


def _layout(infos: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int], int]:
    """Length and header as bytes, absolute offsets, and the size of the file."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    begins: dict[str, int] = {}
    end = 0
    for name, info in infos.items():
        begins[name] = end
        end += info.nbytes
        offsets = [begins[name], end]
        entries[name] = {"dtype": _NAMES[info.dtype], "shape": list(info.shape), "data_offsets": offsets}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the data begins aligned
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + begin for name, begin in begins.items()}, len(header) + end


def _allocate(descriptor: int, size: int) -> None:
    """Claim the disk space now, so that a full disk is met before any work and not after most of it."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    os.truncate(descriptor, size)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while len(data):
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, data, offset)
        else:
            os.lseek(descriptor, offset, os.SEEK_SET)
            written = os.write(descriptor, data)
        data, offset = data[written:], offset + written
