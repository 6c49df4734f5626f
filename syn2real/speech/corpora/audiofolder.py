"""Audio folders: recordings beside a ``metadata.jsonl`` or ``metadata.csv`` whose ``file_name`` names them.

Read here and not by the datasets library, which asks for torchcodec even where nothing is to be decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.lines import read_jsonl
from syn2real.speech.tables import read_table

_METADATA = ("metadata.jsonl", "metadata.csv")


@dataclass(frozen=True)
class AudioFolder:
    """The metadata of one split, and the rows it holds."""

    metadata: Path

    @classmethod
    def find(cls, folder: Path) -> "dict[str, AudioFolder]":
        """Split to folder: those with metadata inside ``folder``, else ``folder`` itself as ``train``; or nothing."""
        inside = sorted(path for name in _METADATA for path in folder.glob(f"*/{name}"))
        own = [folder / name for name in _METADATA if (folder / name).is_file()]
        return {"train": cls(own[0])} if own else {path.parent.name: cls(path) for path in inside}

    @property
    def columns(self) -> list[str]:
        """All columns but the file's name, as they first come."""
        return list(dict.fromkeys(name for _, row in self._numbered() for name in row if name != "file_name"))

    def rows(self) -> Iterator[tuple[dict[str, Any], Path]]:
        """Each row without its file's name, and the file. Raises `UserError` with file and line."""
        base = self.metadata.parent.resolve()
        for number, row in self._numbered():
            name = row.get("file_name")
            if not isinstance(name, str) or not name.strip() or "\0" in name:
                raise UserError(at(self.metadata, number, "no 'file_name'"))
            path = (base / name).resolve()
            if not path.is_relative_to(base):
                raise UserError(at(self.metadata, number, f"{name} leaves {base}"))
            yield {column: value for column, value in row.items() if column != "file_name"}, path

    def _numbered(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return read_jsonl(self.metadata) if self.metadata.suffix == ".jsonl" else read_table(self.metadata, "file_name")
