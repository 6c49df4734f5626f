"""Versions of what a study's outcome depends on."""

import platform
from importlib.metadata import PackageNotFoundError, version

from syn2real import __version__

PACKAGES = ("torch", "transformers", "accelerate", "rapidfuzz", "numpy", "soundfile", "soxr")


def versions(*more: str) -> dict[str, str]:
    """Ours, Python's, and those of `PACKAGES` and ``more`` that are installed."""
    found = {"syn2real": __version__, "python": platform.python_version()}
    for package in (*PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
