"""Who is heard with whom: recordings, or pieces of long ones, in batches sorted by length.

The plan depends on the recordings and two settings alone, so that every run and every share makes the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from syn2real.errors import AudioError, UserError
from syn2real.hashing import sha256_json
from syn2real.progress import say
from syn2real.speech import audio
from syn2real.speech.augmentation import read_utterance
from syn2real.speech.augmentation.manifest import FIELD
from syn2real.speech.corpus import Utterance
from syn2real.speech.hypotheses import clip_key
from syn2real.speech.transcription.recordings import Recording
from syn2real.speech.transcription.splitting import split

LongForm = Literal["split", "refuse"]
BLOCK = 10.0  # s read at once of a long recording
ANNOUNCED = 600.0  # s from which a recording's length is worth a word before it is read


@dataclass(frozen=True)
class Piece:
    """A recording, or a part of a long one, from ``begin`` to ``end`` (s)."""

    utterance: Utterance
    begin: float = 0.0
    end: float | None = None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.utterance.duration if self.end is None else self.end - self.begin

    def read(self) -> np.ndarray:
        """Its samples: float32 of shape (n,) at 16 kHz. Raises `AudioError` as `audio.read` does."""
        if self.end is None:
            return read_utterance(self.utterance)
        return audio.read(self.utterance.audio_filepath, begin=self.begin, end=self.end)


@dataclass(frozen=True)
class Plan:
    """Everything that is to be heard. ``problems`` are reasons by the ids of recordings that cannot be."""

    recordings: tuple[Recording, ...]
    pieces: tuple[Piece, ...]  # in the recordings' order
    batches: tuple[tuple[Piece, ...], ...]
    problems: dict[str, str]

    @classmethod
    def of(cls, recordings: Sequence[Recording], batch_size: int, long_form: LongForm) -> "Plan":
        """Plan the work; long recordings are read once to find where they are quiet."""
        found: list[Piece] = []
        problems: dict[str, str] = {}
        for recording in recordings:
            if recording.utterance is None:
                problems[recording.id] = str(recording.problem)
                continue
            try:
                found += _pieces(recording.utterance, long_form)
            except AudioError as error:
                problems[recording.id] = str(error)
        ordered = sorted(found, key=lambda piece: piece.seconds)
        starts = range(0, len(ordered), batch_size)
        batches = tuple(tuple(ordered[start : start + batch_size]) for start in starts)
        return cls(tuple(recordings), tuple(found), batches, problems)

    @cached_property
    def keys(self) -> dict[Piece, str]:
        """What each piece's outcome is kept by: its recording's bytes, and where it begins and ends."""
        found: dict[Piece, str] = {}
        for name, pieces in self.pieces_of.items():
            clip = clip_key(pieces[0].utterance)
            found |= {piece: sha256_json([name, clip, piece.begin, piece.end]) for piece in pieces}
        return found

    @cached_property
    def pieces_of(self) -> dict[str, list[Piece]]:
        """The pieces of each recording, by its id, in order."""
        found: dict[str, list[Piece]] = {}
        for piece in self.pieces:
            found.setdefault(piece.utterance.id, []).append(piece)
        return found

    @property
    def fingerprint(self) -> str:
        """A hash of what is to be heard, and of what goes into the output beside it."""
        rows = [recording.row for recording in self.recordings]
        return sha256_json([rows, [[self.keys[piece] for piece in batch] for batch in self.batches]])

    def require_all(self) -> None:
        """Raise `UserError` for the first recording that cannot be heard."""
        for problem in self.problems.values():
            raise UserError(problem)


def _pieces(utterance: Utterance, long_form: LongForm) -> list[Piece]:
    if utterance.duration <= audio.WINDOW or long_form == "refuse":
        audio.require_window(utterance.audio_filepath, utterance.duration)
        return [Piece(utterance)]
    path = utterance.audio_filepath
    if utterance.extra.get(FIELD):
        raise AudioError(f"{path}: an augmentation of more than {audio.WINDOW:.0f} s is not supported; split it first")
    if utterance.duration >= ANNOUNCED:
        say(f"{path.name}: looking for pauses in {utterance.duration / 60:.0f} minutes")
    return [Piece(utterance, begin, end) for begin, end in split(audio.stream(path, BLOCK))]
