"""Imports only ever point down: cli, reports, experiments, speech and language side by side, merge. Late ones too."""

import ast
from pathlib import Path

import pytest

import syn2real

ROOT = Path(syn2real.__file__).parent
BELOW = {
    "merge": set(),
    "speech": {"merge"},
    "language": {"merge"},
    "experiments": {"merge", "speech", "language"},
    "reports": {"merge", "speech", "language", "experiments"},
    "cli": {"merge", "speech", "language", "experiments", "reports"},
}


def imported(file: Path) -> set[str]:
    """The floors that a module imports from, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {part[1] for name in names if (part := name.split("."))[0] == "syn2real" and len(part) > 1} & set(BELOW)


@pytest.mark.parametrize("floor", BELOW)
def test_no_floor_knows_of_a_higher_one(floor):
    files = sorted((ROOT / floor).rglob("*.py"))
    assert len(files) > 5
    wrong = {str(file.relative_to(ROOT)): above for file in files if (above := imported(file) - BELOW[floor] - {floor})}
    assert wrong == {}
