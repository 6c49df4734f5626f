"""What transcription asks of a recogniser, whatever runs it, and what it hears."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Times = Literal["segment", "word"]


@dataclass(frozen=True)
class Span:
    """A segment or a word, and when it is said: seconds from the clip's begin."""

    begin: float
    end: float
    text: str

    def later(self, seconds: float) -> "Span":
        """The same after so many seconds of something else."""
        return replace(self, begin=round(self.begin + seconds, 3), end=round(self.end + seconds, 3))


@dataclass(frozen=True)
class Heard:
    """What was heard in a clip; the spans where times were asked for, in order."""

    text: str
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Listening:
    """How to listen. ``short``: windows as long as the longest clip, where the recogniser knows windows, else of 30 s;
    ``prompt``: what was said before, or words that may come, for Whisper to take up their spelling."""

    short: bool
    beams: int = 1
    prompt: str | None = None
    times: Times | None = None


class Listener(ABC):
    """Writes down speech."""

    language: str | None  # ISO 639-1; None where the model neither needs nor takes one

    @property
    @abstractmethod
    def short_windows(self) -> bool:
        """Whether the model may hear a clip without padding it to 30 s."""

    @abstractmethod
    def listen(self, clips: Sequence[np.ndarray], how: Listening) -> list[Heard]:
        """What is said in clips (float32 of shape (n,) at 16 kHz, at most 30 s).

        Raises `UserError` for what the model cannot do: beams or a prompt for CTC, times without alignment heads.
        """

    def hear(self, clips: Sequence[np.ndarray], *, short: bool, beams: int) -> list[str]:
        """The texts of `listen` alone."""
        return [heard.text for heard in self.listen(clips, Listening(short, beams))]
