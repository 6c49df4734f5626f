"""Transcripts from files: references and hypotheses of any recogniser, in the forms that people keep them in."""

from syn2real.speech.transcripts.reading import (
    FORMATS,
    iterate_pairs,
    read_field,
    read_pairs,
    read_recordings,
    read_transcripts,
)

__all__ = ["FORMATS", "iterate_pairs", "read_field", "read_pairs", "read_recordings", "read_transcripts"]
