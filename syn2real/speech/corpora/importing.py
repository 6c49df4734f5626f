"""What every importer shares: clips in, a self-contained corpus of 16 kHz mono FLAC out, whole or not at all."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.errors import AudioError, UserError
from syn2real.progress import track
from syn2real.registry import Registry
from syn2real.sealing import sealed_directory
from syn2real.speech import audio
from syn2real.speech.corpus import MANIFEST, Corpus, Utterance


@dataclass(frozen=True)
class Clip:
    """A recording to import: where it lies, what it is called and what is known of it."""

    item: str  # how the source calls it, for the report
    path: Path
    id: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)  # further fields of `Utterance`
    offset: float = 0.0  # s, where in the recording the clip begins
    length: float | None = None  # s; None for all that follows


@dataclass(frozen=True)
class ImportReport:
    """The corpus that was written, and each item left out with the reason."""

    corpus: Corpus
    skipped: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{len(self.corpus)} utterances, {self.corpus.duration / 60:.1f} min; {len(self.skipped)} skipped"


IMPORTERS: Registry[Callable[..., ImportReport]] = Registry("corpus")


def import_clips(
    output: Path,
    clips: Iterable[Clip],
    *,
    skipped: Iterable[tuple[str, str]] = (),
    densest: float | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Write ``output`` with ``audio/`` and ``manifest.jsonl``.

    A clip that is missing, damaged, silent, not a number or longer than 30 s is left out and reported, as is one
    with more than ``densest`` characters of text per second. Raises `UserError` when ``output`` exists, the disk
    is full, or nothing is left.
    """
    left_out = list(skipped)
    taken: set[str] = set()
    utterances = []
    clips = list(clips)
    with sealed_directory(output, overwrite=overwrite) as partial:
        recordings = _Recordings()
        for clip in track(clips, "importing"):
            try:
                samples = _cut(clip, recordings)
                seconds = samples.size / audio.SAMPLE_RATE
                if densest is not None and len(clip.text) / seconds > densest:
                    raise AudioError(f"{len(clip.text)} characters of text in {seconds:.1f} s cannot all be spoken")
            except AudioError as error:
                left_out.append((clip.item, str(error).removeprefix(f"{clip.path}: ")))
                continue
            name = distinct(clip.id, taken)
            target = partial / "audio" / f"{safe(name)}.flac"
            audio.write_flac(target, samples)
            utterances.append(Utterance(name, target, round(seconds, 4), clip.text, **clip.fields))
        if not utterances:
            reason = f"; the first, {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
            raise UserError(f"{output}: nothing to import{reason}")
        Corpus.of(utterances).save(partial / MANIFEST)
    return ImportReport(Corpus.load(output / MANIFEST), tuple(left_out))


def safe(name: str) -> str:
    """``name`` as one component of a path that every system accepts: letters, digits, ``_``, ``-`` and inner dots."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:150] or "clip"


def distinct(name: str, taken: set[str]) -> str:
    """``name``, or ``name-2``, ``name-3`` … where its file name (whatever the case) is taken; notes the one given."""
    chosen, number = name, 2
    while safe(chosen).casefold() in taken:
        chosen, number = f"{name[:140]}-{number}", number + 1
    taken.add(safe(chosen).casefold())
    return chosen


class _Recordings:
    """Reads recordings, keeping the last: the segments of a long one mostly follow each other."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._samples = np.zeros(0, dtype=np.float32)

    def read(self, path: Path) -> np.ndarray:
        if path != self._path:
            self._samples, self._path = audio.read(path), path
        return self._samples


def _cut(clip: Clip, recordings: _Recordings) -> np.ndarray:
    whole = audio.info(clip.path).duration
    seconds = whole - clip.offset if clip.length is None else clip.length
    if clip.offset >= whole or clip.offset + seconds > whole + 0.1:
        raise AudioError(f"the segment from {clip.offset:g} s lies outside the recording of {whole:.1f} s")
    audio.require_window(clip.path, seconds)
    start = round(clip.offset * audio.SAMPLE_RATE)
    samples = recordings.read(clip.path)[start : start + max(1, round(seconds * audio.SAMPLE_RATE))]
    if samples.size == 0 or float(np.abs(samples).max()) < audio.SILENCE:
        raise AudioError(f"is silent (peak below {audio.SILENCE:g})")
    return samples
