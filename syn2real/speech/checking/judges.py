"""Checks while a corpus is spoken: of each clip where it is made, and of all of them by a recogniser."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from syn2real.speech.checking.hearing import hear, heard_clips, normaliser_of, score_heard
from syn2real.speech.checking.inspection import FIELD
from syn2real.speech.checking.limits import DEFAULTS, HearingLimits, Limits, SignalLimits
from syn2real.speech.checking.round_trip import Heard, judge_clip
from syn2real.speech.checking.signal import judge_signal
from syn2real.speech.corpus import Corpus, Utterance
from syn2real.speech.normalisation import normaliser
from syn2real.speech.synthesis import Clip, Judges, Rendition, Verdict

Check = Literal["signal", "recogniser", "none"]


@dataclass(frozen=True)
class SignalJudge:
    """Refuses a clip by its samples and text."""

    limits: SignalLimits = DEFAULTS.signal

    def __call__(self, samples: np.ndarray, rendition: Rendition) -> str | None:
        """What is wrong with float32 samples at 16 kHz, margins included; None for a good clip."""
        found = judge_signal(samples, rendition.sentence.text, self.limits, rendition.rate)
        return "; ".join(map(str, found)) or None


@dataclass(frozen=True)
class RecogniserJudge:
    """Refuses a clip that is heard much worse than the same sentence in other voices.

    A sentence's witnesses are the first takes of its other renditions that were heard, refused or not: so a run that
    was killed, or shared out by sentences, ends as any other.
    """

    recogniser: Path
    limits: HearingLimits = DEFAULTS.hearing
    batch_size: int = 16

    def __call__(
        self, clips: Sequence[Clip], heard: Sequence[tuple[Rendition, Mapping[str, Any]]]
    ) -> Iterator[tuple[Clip, Verdict]]:
        """A verdict on each of ``clips``; ``heard`` are takes with a verdict already, and its figures."""
        if not clips:
            return
        language = clips[0].rendition.voice.language
        name = normaliser_of(language)
        normalise = normaliser(name)
        corpus = Corpus.of(_utterance(clip) for clip in clips)
        scores = score_heard(corpus, hear(corpus, self.recogniser, language, self.batch_size), name)
        fresh = dict(zip(clips, heard_clips(corpus, scores), strict=True))
        takes = [(clip.rendition, how) for clip, how in fresh.items()]
        takes += [(take, _recalled(take, normalise(take.sentence.text), figures)) for take, figures in heard]
        witnesses: defaultdict[str, dict[str, Heard]] = defaultdict(dict)
        for take, how in sorted(takes, key=lambda pair: pair[0].attempt):
            witnesses[take.sentence.id].setdefault(take.id, how)
        for clip, how in fresh.items():
            others = witnesses[clip.rendition.sentence.id]
            verdict = judge_clip(how, [other for name, other in others.items() if name != how.id], self.limits)
            figures: dict[str, Any] = {"cer": round(how.cer, 4)} if how.characters else {}
            if verdict.flagged is not None:
                figures["flags"] = [verdict.flagged.kind]
            yield clip, Verdict(str(verdict.rejected) if verdict.rejected else None, {FIELD: figures})


@dataclass(frozen=True)
class CheckSettings:
    """How clips are checked while they are spoken: not at all, by their samples, or by a recogniser too."""

    by: Check = "signal"
    recogniser: Path | None = None  # a model's directory, for ``recogniser``
    limits: Limits = field(default_factory=Limits)

    def judges(self) -> Judges:
        """The judges, and what they go by. The check that is made unless another is asked for states nothing: it is
        part of how a corpus is spoken. Raises `ValueError` for ``recogniser`` without a model."""
        if self.by == "none":
            return Judges(stated={"by": "none"})
        signal = SignalJudge(self.limits.signal)
        if self.by == "signal":
            changed = self.limits.signal != DEFAULTS.signal
            return Judges(signal, stated={"by": "signal", "signal": asdict(self.limits.signal)} if changed else {})
        if self.recogniser is None:
            raise ValueError("name the recogniser that is to check")
        from syn2real.speech.pretrained import model_key

        stated = {
            "by": "recogniser",
            "recogniser": model_key(self.recogniser),
            "signal": asdict(self.limits.signal),
            "hearing": asdict(self.limits.hearing),
        }
        return Judges(signal, RecogniserJudge(self.recogniser, self.limits.hearing), stated)


def _utterance(clip: Clip) -> Utterance:
    take = clip.rendition
    text = " ".join(take.sentence.text.split())
    return Utterance(take.id, clip.path, clip.duration, text, speaker=take.voice.id, source="synthetic")


def _recalled(take: Rendition, text: str, figures: Mapping[str, Any]) -> Heard:
    """How a take was heard, from the rate kept of it; exact for texts of up to 5,000 characters."""
    rate = float(figures.get(FIELD, {}).get("cer", 0.0))
    return Heard(take.id, take.sentence.id, take.voice.id, round(rate * len(text)), len(text))
