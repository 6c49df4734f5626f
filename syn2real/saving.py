"""Saving models: what libraries raise when a disk is full, as one line with a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from syn2real.errors import UserError, one_line


@contextmanager
def saving(place: Path) -> Iterator[None]:
    """Raise `UserError` for a failure to write to ``place``: safetensors, torch and the system each name it in their
    own way. To be put around calls that do nothing but save."""
    try:
        yield
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = one_line(error)
        raise UserError(
            f"{place}: cannot be written ({reason}); make room on the disk, then run the same command again"
        ) from error
