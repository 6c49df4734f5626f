"""Recordings of the user's that transforms draw from: noises, speech for babble, measured rooms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from syn2real.errors import AudioError, UserError
from syn2real.speech import audio
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


def excerpt(path: Path, size: int, random: np.random.Generator) -> np.ndarray:
    """``size`` samples at 16 kHz from a place drawn at random, float32; a shorter recording is repeated.

    Only what is needed is decoded, for noises are often hours long. Raises `AudioError` for what cannot be read.
    """
    import soundfile

    header = audio.info(path)
    needed = size * header.rate // audio.SAMPLE_RATE + 2  # the resampler rounds
    start = int(random.integers(max(1, header.frames - needed + 1)))
    try:
        read, rate = soundfile.read(str(path), needed, start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: is damaged and cannot be decoded; remove or replace it") from error
    samples = audio.resample(read.mean(axis=1), rate)
    if samples.size == 0 or not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds no samples, or some that are no numbers; remove or replace it")
    return np.resize(samples, size)
