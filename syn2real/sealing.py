"""Files and directories that are either complete or absent.

Work goes to a hidden sibling, is flushed to disk, then renamed. A killed run leaves only the sibling, which the
same command takes up again (``resume=True``) or throws away.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from syn2real.errors import UserError

FLUSHERS = 32  # threads that wait for the disk


class Unwritable(UserError):
    """An output could not be written; what was to be written is not to blame."""


class Busy(Unwritable):
    """Another process is writing this output."""


def partial_path(final: Path) -> Path:
    """Where the unfinished ``final`` lives. Raises `UserError` for a path without a name of its own."""
    return _hidden(final, "partial")


def require_absent(final: Path, *, overwrite: bool = False) -> None:
    """Raise `UserError` when ``final`` has no name of its own, or holds something, unless it may be overwritten. An
    empty directory is no harm."""
    _require_name(final)
    if overwrite or not final.exists():
        return
    if final.is_dir() and not any(final.iterdir()):
        return
    raise UserError(f"{final}: already exists; choose another output or pass --overwrite")


def require_absent_file(final: Path, *, overwrite: bool = False) -> None:
    """The same for an output that is a file, which cannot take a directory's place."""
    if final.is_dir():
        raise UserError(f"{final}: is a directory; name a file in it")
    if final.exists() and not final.is_file():
        raise UserError(f"{final}: is a device or the like, which a file would replace; choose another output")
    require_absent(final, overwrite=overwrite)


def keep_only(folder: Path, names: Iterable[str]) -> None:
    """Remove from an unfinished output what is not of these names: it is an earlier run's, with other settings."""
    wanted = set(names)
    for path in folder.iterdir():
        if path.name in wanted:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def require_space(near: Path, size: int) -> None:
    """Raise `UserError` when the file system that will hold ``near`` has fewer than ``size`` bytes free."""
    existing = next(parent for parent in (near.absolute(), *near.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        raise Unwritable(f"{near}: no space left: {size / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")


@contextmanager
def sealed_directory(
    final: Path, *, resume: bool = False, overwrite: bool = False, alone: bool = False
) -> Iterator[Path]:
    """Yield a directory to fill; on success it is flushed and renamed to ``final``.

    With ``resume`` what an earlier, killed run left is kept and yielded again, and an error keeps it too; without,
    it starts empty and an error removes it. What ``overwrite`` replaces is there until the new directory is. With
    ``alone`` no second process gets in until the directory has its name: not for work that forks, whose children would
    keep the door shut after it was killed.

    Raises `UserError` when ``final`` is a file or already holds something else, or the disk is full, and `Busy`, with
    nothing touched, when another process is in.
    """
    _recover(final)
    if final.exists() and not final.is_dir():
        raise UserError(f"{final}: is a file; choose another output, for this one is a directory")
    require_absent(final, overwrite=overwrite)
    partial = partial_path(final)
    if not resume:
        shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with sole_writer(partial, final) if alone else nullcontext():
            yield partial
            flush_tree(partial)
            _swap(partial, final)
    except Busy:
        raise
    except BaseException as error:
        if not resume or not (partial.is_dir() and any(partial.iterdir())):
            shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise _disk_error(final, error) from error
        raise


@contextmanager
def sole_writer(directory: Path, final: Path) -> Iterator[None]:
    """Keep other processes that ask for it out of ``directory``, which is to be ``final``. Raises `Busy`."""
    busy = Busy(f"{final}: another process is writing it; wait for it, or choose another output")
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except FileNotFoundError as error:  # it has just got its name
        raise busy from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise busy from error
        if not directory.exists() or not os.path.samestat(os.fstat(descriptor), directory.stat()):
            raise busy
        yield
    finally:
        os.close(descriptor)


@contextmanager
def sealed_file(final: Path) -> Iterator[Path]:
    """Yield a path to write; on success it is flushed and renamed to ``final``, replacing what was there.

    Of several that write the same file at once, each waits for the one before.
    """
    require_absent_file(final, overwrite=True)
    partial = partial_path(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _in_turn(partial):
            yield partial
            _flush(partial)
            os.replace(partial, final)
    except OSError as error:
        raise _disk_error(final, error) from error


@contextmanager
def _in_turn(partial: Path) -> Iterator[None]:
    """Make ``partial`` and have it alone, where the file system knows locks; an error removes it."""
    while True:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), partial.stat()):
                break
        os.close(descriptor)  # the one before has given it its name
    try:
        os.ftruncate(descriptor, 0)
        yield
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def write_text(final: Path, text: str) -> None:
    """Write a whole text file or nothing."""
    with sealed_file(final) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(final: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    with sealed_file(final) as partial:
        partial.write_bytes(content)


def write_json(final: Path, value: Any) -> None:
    """Write a whole JSON file, for people to read too, or nothing."""
    write_text(final, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(folder: Path, name: str, remedy: str) -> dict[str, Any]:
    """The object that `write_json` wrote into a folder by this name. Raises `UserError` with the ``remedy`` where there
    is none."""
    try:
        return dict(json.loads((folder / name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{folder}: holds no {name}; {remedy}") from error


def discard(directory: Path) -> None:
    """Remove a directory that nobody needs any more. It is renamed first, to a hidden sibling, so that after a kill it
    is whole or gone; what such a kill left of it is removed too."""
    clear_discarded(directory)
    if directory.exists():
        os.replace(directory, _discarded_path(directory))
        clear_discarded(directory)


def clear_discarded(directory: Path) -> None:
    """Remove what a kill inside `discard` left."""
    _remove(_discarded_path(directory))


def flush_tree(root: Path) -> None:
    """fsync every file and directory under ``root``."""
    for directory, _, files in os.walk(root):
        flush_files(Path(directory) / name for name in files)
        _flush(Path(directory))


def flush_files(paths: Iterable[Path]) -> None:
    """fsync files. Many at once, for a disk writes together what waits together: thousands of clips take a tenth."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(FLUSHERS) as threads:
        for _ in threads.map(_flush, paths):
            pass


def _discarded_path(directory: Path) -> Path:
    """Where what is to be removed waits for it."""
    return _hidden(directory, "discarded")


def _replaced_path(final: Path) -> Path:
    """Where what is being replaced waits until the new is in place."""
    return _hidden(final, "replaced")


def _hidden(final: Path, what: str) -> Path:
    """A hidden sibling, so that a rename stays on one file system."""
    _require_name(final)
    return final.with_name(f".{final.name}.{what}")


def _require_name(final: Path) -> None:
    if final.name in ("", ".."):
        raise UserError(f"{final}: names no folder or file of its own; give it a name, for instance {final / 'output'}")


def _swap(partial: Path, final: Path) -> None:
    """Rename ``partial`` to ``final``. What was there is moved aside first and removed last, so that a kill at any
    moment loses nothing: `_recover` puts it back."""
    replaced = _replaced_path(final)
    if final.exists():
        os.replace(final, replaced)
    try:
        os.replace(partial, final)
    except OSError:
        _recover(final)
        raise
    _flush(final.parent)
    _remove(replaced)


def _recover(final: Path) -> None:
    """Mend what a kill inside `_swap` left: the old where there is no new, else the new alone."""
    replaced = _replaced_path(final)
    if replaced.exists() and not final.exists():
        os.replace(replaced, final)
    _remove(replaced)


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(final: Path, error: OSError) -> Unwritable:
    place = error.filename or final
    return Unwritable(f"{place}: {error.strerror or error}; nothing was written to {final}")
