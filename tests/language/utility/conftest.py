"""Questions with references, and ones with tests."""

import json
from pathlib import Path

import pytest

ADD = {
    "task_id": "H/0",
    "prompt": 'import math\n\ndef add(a, b):\n    """Their sum."""\n',
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n",
}
CAPITALS = [
    {"id": "fr", "prompt": "the capital of France", "reference": "Paris"},
    {"id": "it", "prompt": "the capital of Italy", "references": ["Rome", "Roma"]},
    {"id": "de", "prompt": "the capital of Germany", "answer": "Berlin"},
]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def capitals(tmp_path) -> Path:
    return write(tmp_path / "capitals.jsonl", CAPITALS)


@pytest.fixture
def humaneval(tmp_path) -> Path:
    """One problem in HumanEval's layout."""
    return write(tmp_path / "humaneval.jsonl", [ADD])
