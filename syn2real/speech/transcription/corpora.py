"""Transcribing a corpus in length-sorted batches, in short windows where the model was trained for them."""

from collections.abc import Sequence
from pathlib import Path

from syn2real.progress import track
from syn2real.speech import audio
from syn2real.speech.augmentation import read_utterance
from syn2real.speech.corpus import Corpus, Utterance
from syn2real.speech.hypotheses import KeptHypotheses
from syn2real.speech.listening import Listener
from syn2real.speech.recogniser import Recogniser
from syn2real.speech.transcription.settings import DEFAULTS, TranscriptionSettings


def transcribe(
    model: Path | Listener,
    corpus: Corpus,
    settings: TranscriptionSettings = DEFAULTS,
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
    listener = model if isinstance(model, Listener) else None
    by_length = sorted(corpus, key=lambda u: u.duration)
    starts = range(0, len(by_length), settings.batch_size)
    texts: dict[str, str] = {}
    for start in track(starts, title):
        batch = by_length[start : start + settings.batch_size]
        heard = kept.recall(batch) if kept is not None else None
        if heard is None:
            if listener is None:
                assert isinstance(model, Path)
                listener = settings.load(model, language)
            heard = _hear(listener, batch, settings)
            if kept is not None:
                kept.keep(batch, heard)
        texts |= {utterance.id: text for utterance, text in zip(batch, heard, strict=True)}
    return {utterance.id: texts[utterance.id] for utterance in corpus}


def _hear(listener: Listener, batch: Sequence[Utterance], settings: TranscriptionSettings) -> list[str]:
    if isinstance(listener, Recogniser):
        listener.model.eval()  # it may come from the middle of a training
    clips = [read_utterance(utterance) for utterance in batch]
    for utterance, clip in zip(batch, clips, strict=True):
        audio.require_window(utterance.audio_filepath, clip.size / audio.SAMPLE_RATE)
    return [heard.text for heard in listener.listen(clips, settings.listening(listener))]
