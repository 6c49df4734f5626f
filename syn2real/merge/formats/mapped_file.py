"""A file mapped into memory, from which tensors are taken without copying."""

import mmap
from pathlib import Path

import torch
from torch import Tensor

from syn2real.errors import UserError

# Private and writable, because torch warns about tensors over read-only memory: a stray write would stay in this
# process. Not reserved, because a private mapping is otherwise counted as if all of it would be written, and the
# kernel refuses one larger than the machine's memory.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


class MappedFile:
    """Read-only use of a file's bytes. Tensors keep the mapping alive; nothing needs closing.

    Raises `UserError` when the file is missing, unreadable or empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.size = file.seek(0, 2)
                if self.size == 0:
                    raise UserError(f"{path}: empty file; copy or download it again")
                self._map = _map(file.fileno())
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error

    def bytes(self, offset: int, count: int) -> bytes:
        """A copy of ``count`` bytes; fewer at the end of the file."""
        return self._map[offset : offset + count]

    def tensor(self, offset: int, dtype: torch.dtype, count: int) -> Tensor:
        """``count`` elements that begin ``offset`` bytes into the file: shape (count,), little-endian.

        Zero-copy where the offset suits the dtype, else a copy: processors differ in what they allow.
        """
        if count == 0:
            return torch.empty(0, dtype=dtype)
        if offset % dtype.itemsize:
            return torch.frombuffer(bytearray(self.bytes(offset, count * dtype.itemsize)), dtype=dtype)
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=offset)


def _map(descriptor: int) -> mmap.mmap:
    if hasattr(mmap, "MAP_PRIVATE"):
        flags, access = mmap.MAP_PRIVATE | _NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(descriptor, 0, flags=flags, prot=access)
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
