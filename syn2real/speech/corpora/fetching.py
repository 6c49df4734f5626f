"""Downloads that resume, are checked against a published sum, and are kept."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from syn2real import __version__
from syn2real.cache import only_one
from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.progress import Bar, say
from syn2real.sealing import partial_path, require_space, write_text

PAUSE = 2.0  # s before a transfer that broke off is taken up again
_BLOCK = 1 << 20  # bytes read at a time, and the step of the progress bar
_PATIENCE = 60  # s without a byte
_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}  # hexadecimal, of each sum


def cached(folder: Path, obtain: Callable[[Path], Path]) -> Path:
    """The archive in ``folder``, checked against the hash noted beside it; else what ``obtain(folder)`` puts there."""
    with only_one(folder.name):
        return _kept(folder) or _obtained(folder, obtain)


def _kept(folder: Path) -> Path | None:
    for note in sorted(folder.glob("*.sha256")):
        archive = note.with_suffix("")
        if archive.is_file() and sha256_file(archive) == note.read_text().strip():
            return archive
        archive.unlink(missing_ok=True)  # damaged or half removed: fetch it again
        note.unlink()
    return None


def _obtained(folder: Path, obtain: Callable[[Path], Path]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    archive = obtain(folder)
    write_text(archive.with_name(archive.name + ".sha256"), sha256_file(archive) + "\n")
    return archive


def download(url: str, target: Path, checksum: str, size: int | None = None) -> Path:
    """Fetch ``url`` to ``target``, going on where an interrupted download stopped.

    ``checksum`` is ``md5:…``, ``sha256:…`` or a bare SHA-256; ``size``, where known, is in bytes. A transfer that
    breaks off is taken up again for as long as each try brings something. Raises `UserError` when it cannot be
    reached, brings nothing more (the next call resumes), does not fit on the disk or has another sum.
    """
    checksum = sum_of(checksum)
    partial = partial_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if size is not None:
        require_space(target, size - _size(partial))
    resumed = _size(partial) > 0
    _transfer(url, partial)
    found = digest(partial, checksum)
    if resumed and found != checksum:  # the beginning was another file's: start over, once
        partial.unlink()
        _transfer(url, partial)
        found = digest(partial, checksum)
    if found != checksum:
        partial.unlink()
        raise UserError(f"{url}: has {_spoken(found)}, expected {_spoken(checksum)}; it was thrown away")
    partial.replace(target)
    return target


def fetch_file(url: str, target: Path) -> Path:
    """Fetch a file for which no sum is published. Raises `UserError` as `download` does."""
    partial = partial_path(target)
    partial.unlink(missing_ok=True)  # nothing could tell whether the beginning is the same file's
    target.parent.mkdir(parents=True, exist_ok=True)
    _transfer(url, partial)
    partial.replace(target)
    return target


def sum_of(checksum: str) -> str:
    """``algorithm:digits`` in small letters; a bare sum is a SHA-256. Raises `UserError` for what is no sum."""
    algorithm, _, digits = checksum.strip().lower().rpartition(":")
    algorithm = algorithm or "sha256"
    if algorithm not in _DIGITS:
        raise UserError(f"checksum {checksum!r}: unknown algorithm; write one of {', '.join(_DIGITS)}, as md5:…")
    return f"{algorithm}:{digits}"


def digest(path: Path, checksum: str) -> str:
    """The sum of a file's bytes, ``algorithm:digits``, by the algorithm of ``checksum``."""
    algorithm = checksum.partition(":")[0]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{found.hexdigest()}"


def request(url: str, start: int = 0) -> urllib.request.Request:
    """A request for what follows byte ``start``. Raises `UserError` for an address that is not of the web."""
    if not url.startswith(("https://", "http://")):
        raise UserError(f"{url}: not an address of the web; it begins with https://")
    headers = {"User-Agent": f"syn2real/{__version__}"} | ({"Range": f"bytes={start}-"} if start else {})
    return urllib.request.Request(url, headers=headers)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _spoken(checksum: str) -> str:
    algorithm, _, digits = checksum.partition(":")
    return f"{algorithm.upper().replace('SHA', 'SHA-')} {digits}"


def _transfer(url: str, partial: Path) -> None:
    """Fetch all that is missing, by as many requests as it takes."""
    while True:
        have = _size(partial)
        try:
            _once(url, partial, have)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing beyond what is there: whole, or of another file; the sum tells
                return
            raise UserError(f"{url}: {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if _size(partial) <= have:
                problem = f"cannot be fetched ({error}); run the same command again to resume"
                raise UserError(f"{url}: {problem}") from error
            say(f"{url}: {error}; going on")
            time.sleep(PAUSE)


def _once(url: str, partial: Path, have: int) -> None:
    with urllib.request.urlopen(request(url, have), timeout=_PATIENCE) as answer:
        if answer.status != 206:
            have = 0  # the server sends the whole
        rest = answer.headers.get("Content-Length")
        _store(answer, partial, have, have + int(rest) if rest else None)


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
