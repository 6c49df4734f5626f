"""What of an unfinished output is safe on disk, so that the same merge, started again, computes only the rest."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from syn2real.hashing import sha256_json

NAME = ".journal"


class Journal:
    """Names of finished tensors in a file beside them. ``done`` is what an earlier run of the same merge finished.

    A journal of another merge (other inputs, recipe, layout or version) is thrown away.
    """

    def __init__(self, directory: Path, identity: Any) -> None:
        self.path = directory / NAME
        head = sha256_json(identity)
        lines = self.path.read_text(encoding="utf-8").split("\n") if self.path.is_file() else []
        self.done: set[str] = set()
        if lines and lines[0] == head:
            for line in lines[1:-1]:  # what follows the last newline was cut off by the kill
                self.done.add(json.loads(line))
        else:
            for place in directory.iterdir():
                shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
            self.path.write_text(head + "\n", encoding="utf-8")
        self._file = self.path.open("r+", encoding="utf-8")
        self._file.seek(0)
        kept = [head, *(json.dumps(name) for name in sorted(self.done))]
        self._file.write("\n".join(kept) + "\n")
        self._file.truncate()
        self._sync()

    def add(self, names: Iterable[str]) -> None:
        """Record tensors whose bytes have been flushed to disk."""
        self._file.writelines(json.dumps(name) + "\n" for name in names)
        self._sync()

    def close(self, *, remove: bool = False) -> None:
        """Close the file, and remove it once the output is whole."""
        self._file.close()
        if remove:
            self.path.unlink()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
