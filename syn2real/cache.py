"""Where downloads and converted models are kept between runs, and how two processes share it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syn2real.errors import UserError


def cache_directory() -> Path:
    """``$SYN2REAL_CACHE``, else ``syn2real`` in the user's cache directory."""
    chosen = os.environ.get("SYN2REAL_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "syn2real"


@contextmanager
def only_one(name: str) -> Iterator[None]:
    """Let one process at a time make what is kept under ``name``; the others wait, and then find it made.

    Raises `UserError` when the cache cannot be written.
    """
    place = cache_directory() / "locks" / f"{name}.lock"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        file = place.open("w")
    except OSError as error:
        problem = f"{place}: {error.strerror}; set SYN2REAL_CACHE to a directory that can be written"
        raise UserError(problem) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed, or its process dies
        yield
