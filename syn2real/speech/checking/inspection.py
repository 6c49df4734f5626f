"""A corpus checked clip by clip: what is rejected, what is flagged, and the corpus without the rejected."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from syn2real.errors import AudioError, UserError
from syn2real.progress import track
from syn2real.speech import audio
from syn2real.speech.augmentation import read_utterance
from syn2real.speech.checking.findings import Finding
from syn2real.speech.checking.hearing import (
    engine_of,
    hear,
    heard_clips,
    normaliser_of,
    score_heard,
    spoken_text,
    voice_of,
)
from syn2real.speech.checking.limits import DEFAULTS, Limits
from syn2real.speech.checking.pace import seconds_per_letter
from syn2real.speech.checking.round_trip import judge_hearing
from syn2real.speech.checking.signal import Signal, judge_signal
from syn2real.speech.checking.voices import Spoken, outliers
from syn2real.speech.corpus import Corpus, Utterance
from syn2real.speech.scoring import ErrorCounts, Scores

FIELD = "check"  # of a manifest's line: what a check found in the clip


@dataclass(frozen=True)
class Inspected:
    """One clip, and what was found in it."""

    utterance: Utterance
    rejected: tuple[Finding, ...] = ()
    flagged: tuple[Finding, ...] = ()
    pace: float | None = None  # s of speech a letter, as if spoken at rate 1
    counts: ErrorCounts | None = None  # of characters; None where it was not heard
    hypothesis: str | None = None

    @property
    def figures(self) -> dict[str, Any]:
        """What a manifest's line says of a clip that was kept; empty where there is nothing to say."""
        said: dict[str, Any] = {}
        if self.counts is not None and self.counts.words:
            said["cer"] = round(self.counts.rate, 4)
        if self.flagged:
            said["flags"] = [finding.kind for finding in self.flagged]
        return said

    def record(self) -> dict[str, Any]:
        """As a JSON object: who said what, what is wrong, and what was heard."""
        utterance = self.utterance
        row: dict[str, Any] = {"id": utterance.id, "voice": voice_of(utterance), "text": utterance.text}
        row["reasons"] = [finding.record() for finding in (*self.rejected, *self.flagged)]
        return row if self.hypothesis is None else row | {"heard": self.hypothesis}


@dataclass(frozen=True)
class Inspection:
    """A checked corpus, in its order."""

    clips: tuple[Inspected, ...]
    scores: Scores | None = None  # in characters, of the clips that were heard

    @property
    def rejected(self) -> list[Inspected]:
        """The clips with a reason to leave them out."""
        return [clip for clip in self.clips if clip.rejected]

    @property
    def flagged(self) -> list[Inspected]:
        """The clips kept that deserve a look."""
        return [clip for clip in self.clips if clip.flagged and not clip.rejected]

    def kept(self) -> Corpus:
        """The corpus without the rejected, what was found noted in `FIELD` of each. Raises `UserError` when nothing is
        left."""
        kept = [clip for clip in self.clips if not clip.rejected]
        if not kept:
            raise UserError(f"all {len(self.clips)} clips are rejected; look at the reasons, or loosen a limit")
        return Corpus.of(_noted(clip) for clip in kept)


def inspect(
    corpus: Corpus,
    limits: Limits = DEFAULTS,
    recogniser: Path | None = None,
    language: str | None = None,
    normaliser: str | None = None,
) -> Inspection:
    """Check every clip by its samples, by its voice, and, where there is a ``recogniser``, by what that hears in it.

    A clip that cannot be read, or lasts over 30 s, is rejected and not heard. ``language`` is by default what the
    corpus names. Raises `UserError` for a corpus of several languages where one is needed, and for a model that is no
    recogniser.
    """
    measured = {u.id: _measure(u, limits) for u in track(corpus, "Checking")}
    spoken = [
        Spoken.of(u.id, voice_of(u), engine_of(u), signal, spoken_text(u), rate_of(u))
        for u in corpus
        if (signal := measured[u.id][0]) is not None
    ]
    flags: defaultdict[str, list[Finding]] = defaultdict(list, outliers(spoken, limits.voice, limits.signal))
    rejected = {name: list(found) for name, (_, found) in measured.items()}
    scores, texts = None, {}
    readable = corpus.filter(lambda u: measured[u.id][0] is not None)
    if recogniser is not None and len(readable):
        language = language or _language(readable)
        texts = hear(readable, recogniser, language)
        scores = score_heard(readable, texts, normaliser or normaliser_of(language))
        for name, verdict in judge_hearing(heard_clips(readable, scores), limits.hearing).items():
            if verdict.rejected is not None:
                rejected[name].append(verdict.rejected)
            if verdict.flagged is not None:
                flags[name].append(verdict.flagged)
    counts = {scored.id: scored.counts for scored in scores or ()}
    clips = []
    for u in corpus:
        signal = measured[u.id][0]
        pace = seconds_per_letter(spoken_text(u), signal.seconds, rate_of(u)) if signal else None
        found = (tuple(rejected[u.id]), tuple(flags.get(u.id, ())))
        clips.append(Inspected(u, *found, pace, counts.get(u.id), texts.get(u.id)))
    return Inspection(tuple(clips), scores)


def rate_of(utterance: Utterance) -> float:
    """The speaking rate a manifest's line says was asked for; 1 where it says none."""
    rate = utterance.extra.get("rate")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else 1.0


def _measure(utterance: Utterance, limits: Limits) -> tuple[Signal | None, list[Finding]]:
    try:
        audio.require_window(utterance.audio_filepath, utterance.duration)
        samples = read_utterance(utterance)
        audio.require_window(utterance.audio_filepath, samples.size / audio.SAMPLE_RATE)  # whatever its line says
    except AudioError as error:
        return None, [Finding("unreadable", detail=str(error))]
    return Signal.of(samples), judge_signal(
        samples, spoken_text(utterance), limits.of_source(utterance.source), rate_of(utterance)
    )


def _language(corpus: Iterable[Utterance]) -> str | None:
    named = sorted({utterance.language for utterance in corpus if utterance.language})
    if len(named) > 1:
        raise UserError(f"the corpus is in {', '.join(named)}; check one language at a time, with --language")
    return named[0] if named else None


def _noted(clip: Inspected) -> Utterance:
    utterance = clip.utterance
    extra = {name: value for name, value in utterance.extra.items() if name != FIELD}
    return replace(utterance, extra=extra | ({FIELD: clip.figures} if clip.figures else {}))
