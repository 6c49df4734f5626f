"""SHA-256 of files and of JSON values: what names a stage, records an input and checks a download."""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from syn2real.cache import cache_directory
from syn2real.errors import UserError
from syn2real.sealing import write_text

SETTLED = 2.0  # seconds after which a file's times are taken at their word


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path, *, keep: bool = True) -> str:
    """`sha256_file`, kept in the cache between runs for as long as the file's inode, size and times do not change.

    Hashing a model takes as long as merging it, and the same base is merged again and again. Without ``keep`` the cache
    is read and not written to.
    """
    before = path.stat()
    note = _note(path, before)
    if note.is_file() and len(kept := note.read_text(encoding="ascii")) == 64:  # else another process is at it
        return kept
    found = sha256_file(path)
    # A file written to this moment could change again without its times telling.
    if keep and _identity(path.stat()) == _identity(before) and time.time() - before.st_ctime > SETTLED:
        with suppress(UserError):  # without a cache it is only slower
            write_text(note, found)
    return found


def forget_sha256(path: Path) -> None:
    """Drop what `remembered_sha256` knows of a file."""
    if path.is_file():
        _note(path, path.stat()).unlink(missing_ok=True)


def _identity(stat: os.stat_result) -> list[int]:
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _note(path: Path, stat: os.stat_result) -> Path:
    return cache_directory() / "hashes" / sha256_json([str(path.resolve()), *_identity(stat)])


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seed_from(*parts: object) -> int:
    """A 63-bit seed that depends only on ``parts``: the same utterance gets the same seed in any subset or order."""
    return int(sha256_json([str(part) for part in parts])[:16], 16) >> 1
