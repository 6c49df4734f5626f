"""Replies kept between runs, by what was asked: what a server was paid for once is not asked again."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from syn2real.hashing import sha256_json
from syn2real.lines import append_jsonl, appended_jsonl


class KeptReplies:
    """Replies by request, in a JSONL file that only grows. A line that a kill cut short is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def recall(self, asked: dict[str, Any]) -> str | None:
        """The reply to a request, if it is known."""
        return self._known.get(sha256_json(asked))

    def keep(self, asked: dict[str, Any], reply: str) -> None:
        """Note a reply. Raises `UserError` when it cannot be written."""
        key = sha256_json(asked)
        append_jsonl(self.path, [{"request": key, "reply": reply}])
        self._known[key] = reply

    def recall_all(self, asked: Sequence[dict[str, Any]], replies: Callable[[], Sequence[str]]) -> list[str]:
        """The reply to each request. Where one is not known, ``replies`` asks all of them again, for what is asked
        together may change the last bit of a sum; what was known stays as it was."""
        if any(self.recall(request) is None for request in asked):
            for request, reply in zip(asked, replies(), strict=True):
                if self.recall(request) is None:
                    self.keep(request, reply)
        return [str(self.recall(request)) for request in asked]

    @cached_property
    def _known(self) -> dict[str, str]:
        rows = appended_jsonl(self.path)
        pairs = ((row.get("request"), row.get("reply")) for row in rows)
        return {key: reply for key, reply in pairs if isinstance(key, str) and isinstance(reply, str)}
