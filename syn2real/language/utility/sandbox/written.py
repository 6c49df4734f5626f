"""How much of the disk a program has taken: the files in its folder, and those it has removed and still holds."""

import os
import stat
from contextlib import suppress
from pathlib import Path

_GONE = b" (deleted)"  # what the kernel says of a file that has no name any more


def bytes_written(process: int, folder: Path, largest: int) -> int:
    """Bytes that a process has written into a folder, each file counted as a block at least.

    A file that it removed takes its place until nothing holds it: open ones are counted as the kernel lists them
    (``/proc/…/fd``); of one that is mapped alone (``/proc/…/maps``) the size is not told, and it counts as ``largest``.
    """
    # In this order: what is removed between the two looks is not counted twice.
    return sum(_unnamed(process, folder, largest).values()) + sum(_named(folder))


def _named(folder: Path) -> list[int]:
    sizes = []
    for file in folder.iterdir():
        with suppress(OSError):  # removed meanwhile
            sizes.append(_bytes(file.lstat()))
    return sizes


def _unnamed(process: int, folder: Path, largest: int) -> dict[int, int]:
    """Sizes by the number of the file."""
    place, found = Path("/proc", str(process)), dict[int, int]()
    with suppress(OSError):  # the process has ended
        for entry in (place / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                about = entry.stat()
                if stat.S_ISREG(about.st_mode) and not about.st_nlink:
                    found[about.st_ino] = _bytes(about)
        # As bytes: of what a name may hold the kernel writes the line break alone in another way.
        for line in (place / "maps").read_bytes().split(b"\n"):
            fields = line.split(maxsplit=5)  # addresses, rights, offset, device, number, name
            if line.endswith(_GONE) and len(fields) == 6 and fields[5].startswith(os.fsencode(folder) + b"/"):
                found.setdefault(int(fields[4]), largest)
    return found


def _bytes(about: os.stat_result) -> int:
    """What a file may come to, and what it takes: it may be reserved and not told as its size."""
    return max(4096, about.st_size, about.st_blocks * 512)
