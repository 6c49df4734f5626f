"""What a recogniser makes of clips, heard once and kept, and how far that is from their text."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from syn2real.cache import cache_directory
from syn2real.hashing import sha256_json
from syn2real.speech.checking.round_trip import Heard
from syn2real.speech.corpus import Corpus, Utterance, sentence_key
from syn2real.speech.hypotheses import KeptHypotheses
from syn2real.speech.normalisation import SPOKEN
from syn2real.speech.scoring import Scores, pairs_of, score
from syn2real.speech.verbalisation.languages import grammar

VERSION = 2  # raised when the same clip and model may give another hypothesis


def normaliser_of(language: str | None) -> str:
    """The normaliser that forgives most in a language: case and signs in all, contractions in English, and whether
    numbers stand in figures or in words wherever we know how they are read."""
    if language is None:
        return "basic"
    if language.lower().replace("_", "-").partition("-")[0] == "en":
        return "english"
    return "unicode" if grammar(language) is None else f"{SPOKEN}{language}"


def hear(corpus: Corpus, recogniser: Path, language: str | None, batch_size: int = 16) -> dict[str, str]:
    """Hypothesis of every utterance by id: in 30 s windows, unless the model was trained on short ones.

    Hypotheses are kept in the cache by the clips' bytes and the model's, so that a run which was killed, or a second
    check, hears only what is new; when all is known, the model is not loaded. Raises as `transcribe` does.
    """
    from syn2real.speech.pretrained import model_key
    from syn2real.speech.transcription import TranscriptionSettings, transcribe

    key = sha256_json([VERSION, model_key(recogniser), language])
    kept = KeptHypotheses(cache_directory() / "hypotheses" / f"{key[:16]}.jsonl")
    settings = TranscriptionSettings(batch_size=batch_size)
    return transcribe(recogniser, corpus, settings, language=language, title="Hearing", kept=kept)


def score_heard(corpus: Corpus, texts: Mapping[str, str], normaliser: str) -> Scores:
    """Character errors of each utterance against what was to be said in it."""
    said = Corpus.of(replace(utterance, text=spoken_text(utterance)) for utterance in corpus)
    return score(pairs_of(said, texts), normaliser, "character")


def heard_clips(
    corpus: Corpus, scores: Scores, sentence: Callable[[Utterance], str] = lambda u: sentence_key(spoken_text(u))
) -> list[Heard]:
    """The clips as the rule of `round_trip` takes them; ``sentence`` says which of them say the same."""
    return [
        Heard(u.id, sentence(u), voice_of(u), scored.counts.errors, scored.counts.words)
        for u, scored in zip(corpus, scores, strict=True)
    ]


def spoken_text(utterance: Utterance) -> str:
    """What is said: the transcript, unless a synthetic line notes other words, as for a transcript in figures."""
    spoken = utterance.extra.get("spoken")
    return spoken if isinstance(spoken, str) and spoken.strip() else utterance.text


def voice_of(utterance: Utterance) -> str:
    """Who speaks: the voice of an engine, or a speaker; an unnamed one is nobody but the recording itself."""
    return utterance.speaker or (f"{utterance.engine}:{utterance.voice}" if utterance.voice else utterance.id)


def engine_of(utterance: Utterance) -> str:
    """The family a voice belongs to: its engine, or ``real``."""
    return utterance.engine or utterance.source
