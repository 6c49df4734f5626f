"""Where renditions are spoken. Here: in this process, one after the other."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.synthesis.journal import Journal
from syn2real.speech.synthesis.judging import ClipJudge
from syn2real.speech.synthesis.outcome import Outcome
from syn2real.speech.synthesis.rendering import render
from syn2real.speech.synthesis.rendition import Rendition

CHUNK = 32  # renditions handed to a worker at once, at most
BRISK = 0.5  # s that a chunk should take, so that progress shows and no worker ends long after the others
DIED = "the process that spoke it died"


@dataclass(frozen=True)
class Place:
    """Where clips go, and what is asked of them."""

    directory: Path
    tag: str  # of the journals
    judge: ClipJudge | None = None

    def journal(self) -> Journal:
        """A journal of one's own."""
        return Journal(self.directory, self.tag)


class Backend(Protocol):
    """Speaks renditions with as many engines at once as it has workers, and keeps their clips."""

    def speak(self, renditions: Sequence[Rendition]) -> Iterator[tuple[Rendition, Outcome]]:
        """What came of each, in any order. Clips are written and in a journal; problems are not."""

    def repeat(self, rendition: Rendition) -> str | None:
        """Speak it and keep nothing; what was wrong."""

    def close(self) -> None:
        """End the workers."""


def make(rendition: Rendition, judge: ClipJudge | None) -> tuple[Outcome, bytes]:
    """What came of speaking a rendition, and the clip as FLAC (empty where there is a problem)."""
    named = Outcome(rendition.file_name, rendition.attempt)
    try:
        samples = render(rendition)
    except UserError as error:
        return Outcome(named.file, named.attempt, problem=str(error)), b""
    reason = judge(samples, rendition) if judge is not None else None
    if reason is not None:
        return Outcome(named.file, named.attempt, problem=reason), b""
    return Outcome(named.file, named.attempt, samples.size), audio.flac_bytes(samples)


def repeat(rendition: Rendition) -> str | None:
    """Speak a rendition and keep nothing; what was wrong."""
    try:
        render(rendition)
    except UserError as error:
        return str(error)
    return None


def keep(made: tuple[Outcome, bytes], journal: Journal) -> Outcome:
    """Write the clip, if there is one."""
    outcome, clip = made
    return journal.keep(outcome, clip) if outcome.problem is None else outcome


class Here:
    """This process."""

    def __init__(self, place: Place) -> None:
        self._judge = place.judge
        self._journal = place.journal()

    def speak(self, renditions: Sequence[Rendition]) -> Iterator[tuple[Rendition, Outcome]]:
        """One after the other, in order."""
        for rendition in renditions:
            yield rendition, keep(make(rendition, self._judge), self._journal)

    def repeat(self, rendition: Rendition) -> str | None:
        """Speak it and keep nothing; what was wrong."""
        return repeat(rendition)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


class Chunks:
    """Renditions in portions that grow while they are spoken fast, so that handing them over costs little."""

    def __init__(self, renditions: Sequence[Rendition], workers: int) -> None:
        self._left = deque(renditions)
        self._workers = workers
        self._size = 1

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(self) -> list[Rendition]:
        """The next portion; small ones towards the end, for the workers to end together."""
        size = max(1, min(self._size, len(self._left) // (2 * self._workers)))
        return [self._left.popleft() for _ in range(min(size, len(self._left)))]

    def took(self, seconds: float) -> None:
        """How long a portion was spoken."""
        if seconds < BRISK:
            self._size = min(CHUNK, 2 * self._size)
        elif self._size > 1:
            self._size //= 2

    def back(self, renditions: Sequence[Rendition]) -> None:
        """Return a portion that was lost."""
        self._left.extendleft(reversed(renditions))
