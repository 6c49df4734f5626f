"""Replies kept between runs, by what was asked: what a server was paid for once is not asked again."""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.hashing import sha256_json


class KeptReplies:
    """The replies of one server, in a JSONL file that only grows. A line that a kill cut short is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def recall(self, asked: dict[str, Any]) -> str | None:
        """The reply to a request, if it is known."""
        return self._known.get(sha256_json(asked))

    def keep(self, asked: dict[str, Any], reply: str) -> None:
        """Note a reply. Raises `UserError` when it cannot be written."""
        key = sha256_json(asked)
        line = json.dumps({"request": key, "reply": reply}, ensure_ascii=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # By one write; the first line break ends a line that a kill cut short.
            with self.path.open("ab", buffering=0) as file:
                file.write(f"\n{line}\n".encode())
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror or error}; make room, and start again") from error
        self._known[key] = reply

    @cached_property
    def _known(self) -> dict[str, str]:
        known: dict[str, str] = {}
        for line in self.path.read_bytes().split(b"\n") if self.path.is_file() else ():
            try:
                row = json.loads(line)
            except ValueError:  # blank, or cut short
                continue
            if isinstance(row, dict) and isinstance(row.get("request"), str) and isinstance(row.get("reply"), str):
                known[row["request"]] = row["reply"]
        return known
