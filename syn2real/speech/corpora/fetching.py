"""Downloads that resume, are checked against a SHA-256, and are kept in the cache."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.progress import Bar
from syn2real.sealing import partial_path, write_text

_BLOCK = 1 << 20  # bytes read at a time, and the step of the progress bar
_PATIENCE = 60  # s without a byte


def cached(folder: Path, obtain: Callable[[Path], Path]) -> Path:
    """The archive in ``folder``, checked against the hash noted beside it; else what ``obtain(folder)`` puts there."""
    for note in sorted(folder.glob("*.sha256")):
        archive = note.with_suffix("")
        if archive.is_file() and sha256_file(archive) == note.read_text().strip():
            return archive
        archive.unlink(missing_ok=True)  # damaged or half removed: fetch it again
        note.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    archive = obtain(folder)
    write_text(archive.with_name(archive.name + ".sha256"), sha256_file(archive) + "\n")
    return archive


def download(url: str, target: Path, sha256: str) -> Path:
    """Fetch ``url`` to ``target``, going on where an interrupted download stopped.

    Raises `UserError` when it cannot be reached, breaks off (the next call resumes) or has another SHA-256.
    """
    partial = partial_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    resumed = partial.exists() and partial.stat().st_size > 0
    _transfer(url, partial)
    if resumed and sha256_file(partial) != sha256:  # the beginning was another file's: start over, once
        partial.unlink()
        _transfer(url, partial)
    found = sha256_file(partial)
    if found != sha256:
        partial.unlink()
        raise UserError(f"{url}: has SHA-256 {found}, expected {sha256}; it was thrown away")
    partial.replace(target)
    return target


def _transfer(url: str, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            if answer.status != 206:
                have = 0  # the server sends the whole
            rest = answer.headers.get("Content-Length")
            _store(answer, partial, have, have + int(rest) if rest else None)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing beyond what is there: whole, or of another file; the hash tells
            return
        raise UserError(f"{url}: {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{url}: cannot be fetched ({error}); run the same command again to resume") from error


def _store(answer: http.client.HTTPResponse, partial: Path, have: int, total: int | None) -> None:
    bar = Bar(f"downloading {partial.name.strip('.').removesuffix('.partial')} (MB)")
    bar.start(None if total is None else -(-total // _BLOCK), have // _BLOCK)
    try:
        with partial.open("ab" if have else "wb") as file:
            while block := answer.read(_BLOCK):
                have += file.write(block)
                bar.advance()
    finally:
        bar.stop()
    if total is not None and have < total:
        raise OSError(f"broke off after {have} of {total} bytes")
