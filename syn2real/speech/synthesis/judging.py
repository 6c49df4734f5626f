"""Where clips are judged: each as it is made, and all of them together before the manifest is written.

What is refused goes the way of what cannot be spoken: once more with another voice, then among the rejected.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from syn2real.speech.synthesis.rendition import Rendition


@dataclass(frozen=True)
class Clip:
    """A finished clip."""

    rendition: Rendition
    path: Path  # 16 kHz mono FLAC
    duration: float  # s


@dataclass(frozen=True)
class Verdict:
    """What a judge says of a clip. ``figures`` are JSON values by name; they go into the clip's manifest line."""

    reason: str | None = None  # why it is refused, in one line; None when it is sound
    figures: Mapping[str, Any] = field(default_factory=dict)


class ClipJudge(Protocol):
    """Judges a clip in the process that made it. Must be picklable."""

    def __call__(self, samples: np.ndarray, rendition: Rendition) -> str | None:
        """Why the clip (float32 at 16 kHz, margins included) is refused, or None."""


class BatchJudge(Protocol):
    """Judges many clips in the driver.

    Each verdict must depend on its clip and on takes of the same sentence alone: shards, which are shares of the
    sentences, judge their share only, and a restart only what has no verdict yet. A verdict is kept as soon as it is
    yielded.
    """

    def __call__(
        self, clips: Sequence[Clip], heard: Sequence[tuple[Rendition, Mapping[str, Any]]]
    ) -> Iterable[tuple[Clip, Verdict]]:
        """A verdict for every clip, in any order. ``heard`` are the takes that had theirs before, sound or refused,
        with its figures; the files of those refused may be gone."""


@dataclass(frozen=True)
class Judges:
    """Who judges. ``stated`` are the settings they go by, as JSON: a run that is judged otherwise is another run."""

    clip: ClipJudge | None = None
    batch: BatchJudge | None = None
    stated: Mapping[str, Any] = field(default_factory=dict)
