"""Transcribing a corpus in length-sorted batches, in short windows where the model was trained for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from syn2real.progress import track
from syn2real.speech import audio
from syn2real.speech.augmentation import read_utterance
from syn2real.speech.corpus import Corpus, Utterance
from syn2real.speech.hypotheses import KeptHypotheses
from syn2real.speech.recogniser import Recogniser, load_recogniser, pick_device

Window = Literal["auto", "short", "full"]


@dataclass(frozen=True)
class TranscriptionSettings:
    """How to transcribe. ``window``: ``full`` pads to 30 s as plain transformers does, ``short`` cuts each batch to its
    longest clip, ``auto`` is short for models trained on short windows and full for all others. CTC models have no such
    window, and hear every clip at its own length."""

    batch_size: int = 16
    beams: int = 1
    window: Window = "auto"


def transcribe(
    model: Path | Recogniser,
    corpus: Corpus,
    settings: TranscriptionSettings = TranscriptionSettings(),
    *,
    language: str | None = None,
    title: str = "transcribing",
    kept: KeptHypotheses | None = None,
) -> dict[str, str]:
    """Hypothesis of every utterance by id, in the corpus's order; greedy (or, for Whisper, beam) decoding.

    Batches that ``kept`` knows are not heard again, others are added to it; when it knows all, no model is loaded.
    Raises `AudioError` for a recording that cannot be used and `UserError` for a model that is no recogniser.
    """
    for utterance in corpus:
        audio.require_window(utterance.audio_filepath, utterance.duration)
    recogniser = model if isinstance(model, Recogniser) else None
    by_length = sorted(corpus, key=lambda u: u.duration)
    starts = range(0, len(by_length), settings.batch_size)
    texts: dict[str, str] = {}
    for start in track(starts, title):
        batch = by_length[start : start + settings.batch_size]
        heard = kept.recall(batch) if kept is not None else None
        if heard is None:
            if recogniser is None:
                assert isinstance(model, Path)
                recogniser = load_recogniser(model, language, pick_device())
            heard = _hear(recogniser, batch, settings)
            if kept is not None:
                kept.keep(batch, heard)
        texts |= {utterance.id: text for utterance, text in zip(batch, heard, strict=True)}
    return {utterance.id: texts[utterance.id] for utterance in corpus}


def _hear(recogniser: Recogniser, batch: Sequence[Utterance], settings: TranscriptionSettings) -> list[str]:
    recogniser.model.eval()
    clips = [read_utterance(utterance) for utterance in batch]
    for utterance, clip in zip(batch, clips, strict=True):
        audio.require_window(utterance.audio_filepath, clip.size / audio.SAMPLE_RATE)
    short = recogniser.short_windows if settings.window == "auto" else settings.window == "short"
    return recogniser.hear(clips, short=short, beams=settings.beams)
