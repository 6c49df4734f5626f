"""Reading Debian packages and tarballs in pure Python, without ever writing where a member's name points."""

import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from syn2real.errors import UserError
from syn2real.progress import track
from syn2real.sealing import sealed_directory

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60  # bytes: name 16, time 12, owner 6, group 6, mode 8, size 10, end 2
_LARGEST = 64 << 20  # bytes; a spoken phrase is some 20 kB


def members(path: Path, wanted: Callable[[PurePosixPath], bool]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Name and contents of the regular files in a ``.deb`` or a tarball whose name is ``wanted``, in order.

    Links and devices are passed over. Raises `UserError` for a name that leaves the archive, a file over 64 MB,
    and an archive that is damaged or of another kind.
    """
    try:
        with _data(path) as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or "\\" in member.name:
                    raise UserError(f"{path}: refused, as its member {member.name!r} would leave the folder")
                if not member.isreg() or not wanted(name):
                    continue
                if member.size > _LARGEST:
                    raise UserError(f"{path}: refused, as its member {member.name!r} is {member.size / 1e6:.0f} MB")
                contents = archive.extractfile(member)
                assert contents is not None  # as it is a regular file
                yield name, contents.read()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise UserError(f"{path}: no such archive") from error
        raise UserError(f"{path}: is damaged or no archive ({error}); fetch it again") from error


def extract(path: Path, folder: Path, wanted: Callable[[PurePosixPath], bool]) -> None:
    """Write the ``wanted`` files of an archive into ``folder``, flat, under the last part of their names.

    The folder is there once all of them are; what a killed run wrote is not written again. Raises `UserError` as
    `members` does, and for two files of one name.
    """
    taken: set[str] = set()
    with sealed_directory(folder, resume=True) as partial:
        try:
            for name, contents in track(members(path, wanted), f"unpacking {path.name}"):
                if name.name in taken:
                    raise UserError(f"{path}: holds two files called {name.name}")
                taken.add(name.name)
                target = partial / name.name
                if not target.is_file() or target.read_bytes() != contents:
                    target.write_bytes(contents)
            if not taken:
                raise UserError(f"{path}: holds none of the recordings looked for")
        except UserError:
            shutil.rmtree(partial)  # of an archive that is not to be trusted, nothing stays
            raise


@contextmanager
def _data(path: Path) -> Iterator[IO[bytes]]:
    """The tar stream: the file itself, or the member ``data.tar.*`` of an ar archive."""
    with path.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            file.seek(0)
            yield file
            return
        while len(header := file.read(_AR_HEADER)) == _AR_HEADER and header.endswith(b"`\n"):
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                if name.endswith(".zst"):
                    raise UserError(f"{path}: is packed with zstd; unpack it and pack the files as .tar.gz")
                yield io.BufferedReader(_Window(file, size), 1 << 20)
                return
            file.seek(size + size % 2, io.SEEK_CUR)
        raise tarfile.ReadError("a Debian package without data.tar")


class _Window(io.RawIOBase):
    """The next ``size`` bytes of a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]
        block = self._file.read(min(len(buffer), self._left))
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)
