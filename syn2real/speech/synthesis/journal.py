"""Journals: every process that makes clips appends a line for each to a file of its own.

A run that is started again reads these and no clip. Clips appear by a rename and are not flushed one by one, which
would take longer than many an engine speaks; once in a while all since the last time are, and the journal says so. A
killed process loses nothing. After a power cut the clips behind the last such mark are checked byte by byte, and those
that the disk did not get are made again.
"""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

from syn2real.sealing import flush_files, partial_path
from syn2real.speech.synthesis.outcome import Outcome

AUDIO = "audio"
JOURNALS = "journals"  # while a directory is unfinished; folded into JOURNAL at the end
JOURNAL = "journal.jsonl"
FLUSHED = {"flushed": True}
FLUSH_EVERY = 256  # clips


class Journal:
    """One process's lines, and the clips it writes. The file appears with the first line."""

    def __init__(self, directory: Path, tag: str) -> None:
        self._directory = directory
        self._tag = tag  # what tells the journals of shards apart when their folders are copied together
        self._descriptor: int | None = None
        self._unflushed: list[Path] = []

    def keep(self, outcome: Outcome, clip: bytes) -> Outcome:
        """Write a clip and its line; the outcome with the clip's size and sum."""
        outcome = replace(outcome, size=len(clip), crc=zlib.crc32(clip))
        path = self._directory / AUDIO / outcome.file
        partial = partial_path(path)
        try:
            partial.write_bytes(clip)
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        self.add(outcome)
        self._unflushed.append(path)
        if len(self._unflushed) >= FLUSH_EVERY:
            self.flush()
        return outcome

    def add(self, outcome: Outcome) -> None:
        """Append a line."""
        self._write(outcome.row)

    def flush(self) -> None:
        """Bring all clips so far to the disk, then say so."""
        flush_files(self._unflushed)
        self._unflushed.clear()
        self._write(FLUSHED)
        os.fsync(self._open())

    def close(self) -> None:
        """Leave the file for a later run."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, row: dict[str, Any]) -> None:
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        if os.write(self._open(), line) < len(line):  # a torn line is no line: whoever reads skips it
            raise OSError(ENOSPC, os.strerror(ENOSPC), str(self._directory / JOURNALS))

    def _open(self) -> int:
        """A file no other process has, nor had: an older one may end in a torn line."""
        folder, number = self._directory / JOURNALS, 0
        while self._descriptor is None:
            folder.mkdir(exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            try:
                self._descriptor = os.open(folder / f"{self._tag}-{number}.jsonl", flags, 0o666)
            except FileExistsError:
                number += 1
        return self._descriptor


def read_journal(path: Path) -> Iterator[tuple[Outcome, bool]]:
    """Each outcome of a journal, and whether its clip was flushed. Torn lines are skipped."""
    outcomes: list[Outcome] = []
    flushed = 0
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row == FLUSHED:
            flushed = len(outcomes)
        elif (outcome := Outcome.of(row)) is not None:
            outcomes.append(outcome)
    for number, outcome in enumerate(outcomes):
        yield outcome, number < flushed
