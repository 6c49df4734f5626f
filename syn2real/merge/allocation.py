"""Advice to the C library's allocator, where it is glibc's: what to keep of freed memory.

By default it hands freed megabytes back to the system and has them zeroed anew for the next block, which takes a
quarter of a merge's time; and keeps gigabytes in gaps between blocks, for as long as the process lives.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 512 << 20  # bytes that may lie free
_LARGEST = 32 << 20  # of a single allocation: the most that glibc accepts


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory at hand, and give it back at the end. Elsewhere than on glibc nothing changes."""
    library = _glibc()
    if library is not None:
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    try:
        yield
    finally:
        give_back()


def give_back() -> None:
    """Give freed memory back to the system: batches of many lengths leave gaps that would be kept. Elsewhere than on
    glibc nothing happens."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (only glibc has it)
    except (OSError, AttributeError, TypeError):
        return None
    return library
