"""What the tests of synthesis share: sentences that espeak speaks, and an engine that can be told to fail."""

from collections.abc import Callable
from pathlib import Path

import pytest

from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import ENGINES


@pytest.fixture(autouse=True)
def _espeak() -> None:
    reason = ENGINES.get("espeak")().available()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    """Everything in a directory, by relative path."""
    return lambda directory: {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture
def lines() -> list[Sentence]:
    """Ten short sentences."""
    return [Sentence(f"l{n}", f"Line {n} says no more.") for n in range(10)]
