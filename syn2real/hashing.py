"""SHA-256 of files and of JSON values: what names a stage, records an input and checks a download."""

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seed_from(*parts: object) -> int:
    """A 63-bit seed that depends only on ``parts``: the same utterance gets the same seed in any subset or order."""
    return int(sha256_json([str(part) for part in parts])[:16], 16) >> 1
