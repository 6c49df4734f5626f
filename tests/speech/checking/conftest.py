"""What the tests of several modules of checks need."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def cache(tmp_path_factory, tiny_en) -> Iterator[Path]:
    """A cache of these tests' own, so that each clip is heard once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYN2REAL_CACHE", str(folder))
        yield folder
