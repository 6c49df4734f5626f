"""Where downloads and converted models are kept between runs."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """``$SYN2REAL_CACHE``, else ``syn2real`` in the user's cache directory."""
    chosen = os.environ.get("SYN2REAL_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "syn2real"
