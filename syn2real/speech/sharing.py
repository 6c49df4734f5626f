"""Several runs on one output: which share is whose, and who may do what at the same time.

The record of the settings, which stays the same file from the first result to the last, carries the lock: runs of
shares hold it together; a run of the whole, and whoever completes the output, alone.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, EAGAIN
from pathlib import Path
from typing import ClassVar, TypeVar

from syn2real.errors import UserError
from syn2real.hashing import seed_from

T = TypeVar("T")

PATIENCE = 10.0  # s to wait for a run that is just beginning or ending


@dataclass(frozen=True)
class Shard:
    """A share of the work: the ``number``-th of ``count``, from 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``"2/8"``. Raises `UserError` for anything else."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise UserError(f"--shard {text}: write I/N, with I from 1 to N, for instance 2/8")
        return cls(int(number), int(count))

    @property
    def whole(self) -> bool:
        """Whether this is everything."""
        return self.count == 1

    @property
    def tag(self) -> str:
        """What its journals are named by."""
        return f"{self.number}-of-{self.count}"

    def of(self, items: Sequence[T], name: Callable[[T], str]) -> list[T]:
        """This shard's items, by a hash of their names and nothing else, so that shares are of one size."""
        return [item for item in items if seed_from(name(item)) % self.count == self.number - 1]

    def each(self, items: Sequence[T]) -> list[T]:
        """This shard's items of a list that is the same for all shards: every ``count``-th."""
        return list(items[self.number - 1 :: self.count])


class SharesLeft(Exception):
    """This share is done; others are not."""

    def __init__(self, shard: Shard, left: int, total: int, done: str, things: str) -> None:
        self.shard, self.left, self.total = shard, left, total
        super().__init__(
            f"share {shard.number} of {shard.count} is {done}; {left:,} of {total:,} {things} are left to the others"
        )


class Desk:
    """A run's place at a directory, held until it is closed. On file systems without locks nobody is kept out."""

    record_name: ClassVar[str]  # of the file that says what the directory's content depends on
    journals: ClassVar[str] = "journals"  # the folder that shares keep theirs in
    done: ClassVar[str]  # what is done to a share: spoken, heard

    def __init__(self, directory: Path, shard: Shard, record: str, *, overwrite: bool = False) -> None:
        """Take a seat, beside the runs of other shares or alone. ``record`` is written, or compared with what is there:
        with ``overwrite``, which takes the whole, what another record left is cleared once nobody else works on it.

        Raises `UserError` when another run is in the way or the directory is of another record.
        """
        self.directory = directory
        self._path = directory / self.record_name
        self._descriptors = [os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)]
        try:
            self._sit(shard, record, overwrite)
        except BaseException:
            self.close()
            raise

    def alone(self) -> bool:
        """Wait until the others have left and keep all out. False when one of them has finished the directory and
        moved it to its place."""
        with suppress(OSError):
            fcntl.flock(self._descriptors[0], fcntl.LOCK_EX)
        try:
            return os.path.samestat(os.fstat(self._descriptors[0]), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Leave."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _sit(self, shard: Shard, record: str, overwrite: bool) -> None:
        while True:
            self._lock(fcntl.LOCK_EX if shard.whole else fcntl.LOCK_SH)
            if is_record(before := self._path.read_text(encoding="utf-8")):
                if overwrite and shard.whole and before != record:
                    self._clear()
                    self._write(record)
                self.require_same(self._path.read_text(encoding="utf-8"), record)
                break
            self._lock(fcntl.LOCK_EX)
            if not is_record(self._path.read_text(encoding="utf-8")):
                self.require_unused()
                self._write(record)
        if not shard.whole:
            self._claim(shard)

    def _lock(self, kind: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _locked(self._descriptors[0], kind):
            if time.monotonic() > deadline:
                raise UserError(f"{self.directory}: another run is at work here; wait for it or choose another")
            time.sleep(0.05)

    def _clear(self) -> None:
        """Remove everything but the record, which carries the lock."""
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self._path:
                path.unlink()

    def _write(self, record: str) -> None:
        os.ftruncate(self._descriptors[0], 0)
        os.pwrite(self._descriptors[0], record.encode(), 0)
        os.fsync(self._descriptors[0])

    def require_same(self, before: str, now: str) -> None:
        """Raise `UserError` when the record that is there is not this run's."""
        raise NotImplementedError

    def require_unused(self) -> None:
        """Raise `UserError` when a directory without a record holds what is not of such runs."""

    def _claim(self, shard: Shard) -> None:
        """Keep out a second run of this share, and shares of another count, which would overlap."""
        folder = self.directory / self.journals
        folder.mkdir(exist_ok=True)
        # Its own lock first: of two runs that begin at the same moment, at least one then sees the other's.
        self._descriptors.append(os.open(folder / f"{shard.tag}.lock", os.O_RDWR | os.O_CREAT, 0o666))
        if not _locked(self._descriptors[-1], fcntl.LOCK_EX):
            raise UserError(f"{self.directory}: this share is being {self.done} by another run")
        for path in folder.glob("*.lock"):
            if path.stem.endswith(f"-of-{shard.count}"):
                continue
            descriptor = os.open(path, os.O_RDWR)
            free = _locked(descriptor, fcntl.LOCK_EX)
            os.close(descriptor)
            if not free:
                raise UserError(
                    f"{self.directory}: shares of another count ({path.stem}) are being {self.done} by another run"
                )


def is_record(text: str) -> bool:
    """Whether this is a whole record, and not the beginning of one that a kill cut short."""
    return text.endswith("}\n")


def _locked(descriptor: int, kind: int) -> bool:
    """Whether the lock was free; also where there are no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (EAGAIN, EACCES)
    return True
