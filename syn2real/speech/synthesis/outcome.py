"""What came of speaking a rendition once: a clip, or what was wrong. One line of a journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syn2real.speech import audio


@dataclass(frozen=True)
class Outcome:
    """``file`` names the rendition. A clip has ``size`` and ``crc`` of its bytes, by which a torn one is found out; an
    outcome with neither clip nor problem is a judge's, on the clip of that attempt."""

    file: str
    attempt: int
    frames: int = 0  # at 16 kHz
    size: int = 0  # bytes
    crc: int = 0  # CRC-32
    problem: str | None = None
    figures: Mapping[str, Any] | None = None  # what a judge measured; None where none has judged

    @property
    def duration(self) -> float:
        """Length of the clip in seconds, as manifests have it."""
        return round(self.frames / audio.SAMPLE_RATE, 4)

    @property
    def row(self) -> dict[str, Any]:
        """The line's object."""
        row: dict[str, Any] = {"file": self.file, "attempt": self.attempt}
        if self.size:
            row |= {"frames": self.frames, "size": self.size, "crc": self.crc}
        if self.problem is not None:
            row["problem"] = self.problem
        if self.figures is not None:
            row["figures"] = dict(self.figures)
        return row

    @classmethod
    def of(cls, row: Any) -> "Outcome | None":
        """The outcome a line holds, or None for a line that is no outcome."""
        try:
            return cls(**row)
        except TypeError:
            return None
