"""Recordings of the user's that transforms draw from: noises, speech for babble, measured rooms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from syn2real.errors import UserError
from syn2real.speech.augmentation.transform import Transform
from syn2real.speech.corpus import Corpus

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")


class Source:
    """What names recordings: a folder, searched to the bottom, or a JSONL manifest."""

    def check(self, value: Any) -> str:
        """The path. Raises `UserError`."""
        if not isinstance(value, str | Path) or not str(value):
            raise UserError(f"name a folder of recordings or a JSONL manifest, not {value!r}")
        return str(value)


@dataclass(frozen=True)
class Recorded(Transform):
    """A transform that draws from recordings: those of the folder or JSONL manifest ``source``."""

    source: Annotated[str, Source()]

    def __post_init__(self) -> None:
        super().__post_init__()
        # Listed now, so that a wrong source is told before any work.
        object.__setattr__(self, "_recordings", find_recordings(self.source))

    @property
    def recordings(self) -> tuple[Path, ...]:
        """The recordings to draw from, sorted."""
        return self._recordings  # type: ignore[attr-defined, no-any-return]

    def draw(self, random: np.random.Generator) -> Path:
        """One of the recordings."""
        return self.recordings[random.integers(len(self.recordings))]


def find_recordings(source: str) -> tuple[Path, ...]:
    """The recordings of a JSONL manifest, or of a folder and all in it, sorted.

    Raises `UserError` when there are none.
    """
    path = Path(source)
    if path.suffix == ".jsonl":
        return tuple(sorted(utterance.audio_filepath for utterance in Corpus.load(path)))
    if not path.is_dir():
        raise UserError(f"{source}: no such folder; name a folder of recordings or a JSONL manifest")
    found = tuple(sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()))
    if not found:
        raise UserError(f"{source}: holds no recordings ({', '.join(SUFFIXES)})")
    return found
