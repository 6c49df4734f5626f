"""From recordings to what is said in them: a corpus in memory, or files of any length and number, resumably."""

from syn2real.speech.transcription.corpora import transcribe
from syn2real.speech.transcription.settings import TranscriptionSettings, Window

__all__ = ["TranscriptionSettings", "Window", "transcribe"]
