"""What a command's first second is spent on, kept short."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """For imports of large libraries: without the collector, and with all they made exempt from it for good.

    It would search torch's half a million objects several times over as they appear, and once more at the end of the
    process, to find that all are in use; together that takes longer than merging two small models.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_recognisers() -> None:
    """Import what trains and runs recognisers, before the modules that need it ask for it piece by piece."""
    if "transformers.models.whisper.modeling_whisper" in sys.modules:
        return
    with importing():
        from transformers import Seq2SeqTrainer, WhisperForConditionalGeneration  # noqa: F401
