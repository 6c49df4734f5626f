"""What an import has done so far: one line a clip, so that a killed import goes on where it was."""

import json
import shutil
from pathlib import Path
from typing import IO, Any

NAME = "journal.jsonl"


class Journal:
    """The outcomes of the first clips of a plan, appended one by one.

    A directory that another plan began is emptied; a line that a kill cut short is dropped.
    """

    def __init__(self, directory: Path, plan: str) -> None:
        self.outcomes: list[dict[str, Any]] = []
        self._path = directory / NAME
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.is_file() else []
        if not lines or lines[0] != _line({"plan": plan}):
            for item in directory.iterdir():
                shutil.rmtree(item) if item.is_dir() else item.unlink()
            lines = [_line({"plan": plan})]
        lines = lines if lines[-1].endswith(b"\n") else lines[:-1]
        self._path.write_bytes(b"".join(lines))
        self.outcomes += [json.loads(line) for line in lines[1:]]
        self._file: IO[bytes] = self._path.open("ab")

    def add(self, outcome: dict[str, Any]) -> None:
        """Note the outcome of the next clip."""
        self._file.write(_line(outcome))
        self._file.flush()
        self.outcomes.append(outcome)

    def close(self) -> None:
        """Leave the journal for a later run."""
        self._file.close()

    def remove(self) -> None:
        """The import is whole."""
        self._file.close()
        self._path.unlink()


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
