"""Several runs on one corpus: which share is whose, and who may do what at the same time.

The record of the settings, which stays the same file from the first clip to the finished corpus, carries the lock: runs
of shares hold it together; a run of the whole, and whoever completes the corpus, alone.
"""

import fcntl
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, EAGAIN
from pathlib import Path

from syn2real.errors import UserError
from syn2real.hashing import seed_from
from syn2real.speech.synthesis.journal import AUDIO, JOURNAL, JOURNALS
from syn2real.speech.synthesis.record import RECORD, is_record, require_same
from syn2real.speech.synthesis.rendition import Rendition

PATIENCE = 10.0  # s to wait for a run that is just beginning or ending


@dataclass(frozen=True)
class Shard:
    """A share of the sentences with all their renditions: the ``number``-th of ``count``, from 1."""

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

    def of(self, renditions: Sequence[Rendition]) -> list[Rendition]:
        """This shard's renditions, by a hash of the sentences' ids and nothing else, so that shares are of one size."""
        return [r for r in renditions if seed_from(r.sentence.id) % self.count == self.number - 1]


class SharesLeft(Exception):
    """This share is done; others are not."""

    def __init__(self, shard: Shard, left: int, total: int) -> None:
        self.shard, self.left, self.total = shard, left, total
        super().__init__(
            f"share {shard.number} of {shard.count} is spoken; {left:,} of {total:,} renditions are left to the others"
        )


class Desk:
    """A run's place at a directory, held until it is closed. On file systems without locks nobody is kept out."""

    def __init__(self, directory: Path, shard: Shard, record: str) -> None:
        """Take a seat, beside the runs of other shares or alone. ``record`` is written, or compared with what is there.

        Raises `UserError` when another run is in the way or the directory holds speech of another record.
        """
        self.directory = directory
        self._path = directory / RECORD
        self._descriptors = [os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)]
        try:
            self._sit(shard, record)
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

    def _sit(self, shard: Shard, record: str) -> None:
        while True:
            self._lock(fcntl.LOCK_EX if shard.whole else fcntl.LOCK_SH)
            if is_record(before := self._path.read_text(encoding="utf-8")):
                require_same(self._path, before, record)
                break
            self._lock(fcntl.LOCK_EX)
            if not is_record(self._path.read_text(encoding="utf-8")):
                self._require_no_audio()
                self._write(record)
        if not shard.whole:
            self._claim(shard)

    def _lock(self, kind: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _locked(self._descriptors[0], kind):
            if time.monotonic() > deadline:
                raise UserError(f"{self.directory}: another run is at work here; wait for it or choose another")
            time.sleep(0.05)

    def _write(self, record: str) -> None:
        os.ftruncate(self._descriptors[0], 0)
        os.pwrite(self._descriptors[0], record.encode(), 0)
        os.fsync(self._descriptors[0])

    def _require_no_audio(self) -> None:
        """What no record and no journal speaks for is not of a synthesis: it would be cleared away as left over."""
        audio = self.directory / AUDIO
        journals = (self.directory / JOURNALS, self.directory / JOURNAL)
        if audio.is_dir() and any(audio.iterdir()) and not any(path.exists() for path in journals):
            if not self._path.stat().st_size:
                self._path.unlink()  # made for the lock alone
            raise UserError(f"{audio}: holds recordings of something else; choose another directory")

    def _claim(self, shard: Shard) -> None:
        """Keep out a second run of this share, and shares of another count, which would overlap."""
        folder = self.directory / JOURNALS
        folder.mkdir(exist_ok=True)
        # Its own lock first: of two runs that begin at the same moment, at least one then sees the other's.
        self._descriptors.append(os.open(folder / f"{shard.tag}.lock", os.O_RDWR | os.O_CREAT, 0o666))
        if not _locked(self._descriptors[-1], fcntl.LOCK_EX):
            raise UserError(f"{self.directory}: this share is being spoken by another run")
        for path in folder.glob("*.lock"):
            if path.stem.endswith(f"-of-{shard.count}"):
                continue
            descriptor = os.open(path, os.O_RDWR)
            free = _locked(descriptor, fcntl.LOCK_EX)
            os.close(descriptor)
            if not free:
                raise UserError(
                    f"{self.directory}: shares of another count ({path.stem}) are being spoken by another run"
                )


def _locked(descriptor: int, kind: int) -> bool:
    """Whether the lock was free; also where there are no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (EAGAIN, EACCES)
    return True
