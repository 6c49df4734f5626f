"""What an import has done so far: one line a clip, so that a killed import goes on where it was."""

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

from syn2real.errors import UserError

NAME = "journal.jsonl"


class Journal:
    """The outcomes of the first clips of a plan, appended one by one.

    A directory that another plan began is emptied; a line that a kill cut short is dropped. Raises `UserError` when
    another process is writing the same journal.
    """

    def __init__(self, directory: Path, plan: str) -> None:
        self._path = directory / NAME
        self._file = self._path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise UserError(f"{directory}: another import is at work here; wait for it or choose another") from error
        self._file.seek(0)
        lines = self._file.readlines()
        if not lines or lines[0] != _line({"plan": plan}):
            for item in directory.iterdir():
                if item != self._path:
                    shutil.rmtree(item) if item.is_dir() else item.unlink()
            lines = []
            self._file.truncate(0)
            self._file.write(_line({"plan": plan}))
        elif not lines[-1].endswith(b"\n"):
            self._file.truncate(self._file.tell() - len(lines.pop()))
        self._file.flush()
        self.outcomes: list[dict[str, Any]] = [json.loads(line) for line in lines[1:]]

    def add(self, outcome: dict[str, Any]) -> None:
        """Note the outcome of the next clip."""
        self._file.write(_line(outcome))
        self._file.flush()
        self.outcomes.append(outcome)

    def close(self) -> None:
        """Leave the journal for a later run."""
        self._file.close()


def forget(directory: Path) -> None:
    """Remove the journal, closed before, if it is still there: the import is whole."""
    (directory / NAME).unlink(missing_ok=True)


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
