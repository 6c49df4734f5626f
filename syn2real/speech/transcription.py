"""Transcribing a corpus in length-sorted batches, in short windows where the model was trained for them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from syn2real.progress import track
from syn2real.speech import audio
from syn2real.speech.corpus import Corpus
from syn2real.speech.whisper import MAX_TARGET, Recogniser, encoder_window, pick_device

Window = Literal["auto", "short", "full"]

MARGIN = 0.5  # s of silence left after the longest clip of a short window, so that no final sound is cut
TOKENS_PER_SECOND = 12  # no language is spoken faster; caps the loops that Whisper falls into on noise
TOKENS_AT_LEAST = 24


@dataclass(frozen=True)
class TranscriptionSettings:
    """How to transcribe. ``window``: ``full`` pads to 30 s as plain transformers does, ``short`` cuts each batch to its
    longest clip, ``auto`` is short for models trained on short windows and full for all others."""

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
) -> dict[str, str]:
    """Hypothesis of every utterance by id, in the corpus's order; greedy (or beam) decoding without timestamps.

    The decoder may produce at most 24 + 12 tokens per second of audio, which bounds repetition loops.
    Raises `AudioError` for a recording that cannot be used and `UserError` for a model that is no Whisper model.
    """
    for utterance in corpus:
        audio.require_window(utterance.audio_filepath, utterance.duration)
    recogniser = model if isinstance(model, Recogniser) else Recogniser.load(model, language, pick_device())
    network = recogniser.model.eval()
    short = recogniser.short_windows if settings.window == "auto" else settings.window == "short"
    by_length = sorted(corpus, key=lambda u: u.duration)
    starts = range(0, len(by_length), settings.batch_size)
    texts: dict[str, str] = {}
    options: dict[str, Any] = {"num_beams": settings.beams}
    if recogniser.language is not None:
        options |= {"language": recogniser.language, "task": "transcribe"}
    for start in track(starts, title):
        batch = by_length[start : start + settings.batch_size]
        clips = [audio.read(utterance.audio_filepath) for utterance in batch]
        longest = max(len(clip) for clip in clips) / audio.SAMPLE_RATE
        seconds = min(longest + MARGIN, audio.WINDOW) if short else audio.WINDOW
        features = recogniser.encode(clips, seconds).to(network.device, network.dtype)
        limit = min(round(TOKENS_AT_LEAST + TOKENS_PER_SECOND * longest), MAX_TARGET - 8)
        with torch.inference_mode(), encoder_window(network, features.shape[-1]):
            tokens = network.generate(features, max_new_tokens=limit, **options)
        decoded = recogniser.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        texts |= {utterance.id: text.strip() for utterance, text in zip(batch, decoded, strict=True)}
    return {utterance.id: texts[utterance.id] for utterance in corpus}
