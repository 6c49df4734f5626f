"""What is usual of a voice, and which of its clips are not."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from syn2real.speech.checking.findings import Finding
from syn2real.speech.checking.limits import DEFAULTS, SignalLimits, VoiceLimits
from syn2real.speech.checking.pace import fewest_letters
from syn2real.speech.checking.signal import Signal

ONSET = 3.0  # letters' worth of time that any text takes: with it, pace does not go by length (docs/checking.md)
NORMAL = 1.4826  # median absolute deviations in a standard deviation of the normal law
NARROWEST = {"pace": 0.02, "ending": 1.0}  # least deviation that is taken for real: 2 % of the pace, and 1 dB


@dataclass(frozen=True)
class Spoken:
    """The figures of a clip that go into its voice's statistics."""

    id: str
    voice: str
    engine: str
    pace: float | None  # log of seconds a letter; None for a text without letters
    ending: float  # dB, see `Signal`

    @classmethod
    def of(cls, name: str, voice: str, engine: str, signal: Signal, text: str, rate: float) -> "Spoken":
        """From what was measured; ``rate`` is the speaking rate asked for."""
        letters = fewest_letters(text)
        pace = float(np.log(signal.seconds * rate / (letters + ONSET))) if letters else None
        return cls(name, voice, engine, pace, signal.ending)


def outliers(
    clips: Sequence[Spoken], limits: VoiceLimits = DEFAULTS.voice, signal: SignalLimits = DEFAULTS.signal
) -> dict[str, list[Finding]]:
    """Findings by clip id, for clips unlike the others of their voice: in pace either way, in ending only louder and
    only where the ending has not died away.

    A clip's distance is taken from the median, in median absolute deviations (× 1.4826). A voice of few clips is judged
    among all of its engine; an engine of few is not judged.
    """
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    for group in _groups(clips, limits.clips):
        known = [clip for clip in group if clip.pace is not None]
        distances = _robust([clip.pace or 0.0 for clip in known], NARROWEST["pace"])
        for clip, distance in zip(known, distances, strict=True):
            if abs(distance) > limits.deviations:
                found[clip.id].append(Finding("pace", distance, limits.deviations))
        for clip, distance in zip(group, _robust([c.ending for c in group], NARROWEST["ending"]), strict=True):
            if distance > limits.deviations and clip.ending > signal.ending:
                found[clip.id].append(Finding("ending", distance, limits.deviations))
    return dict(found)


def _groups(clips: Sequence[Spoken], least: int) -> list[list[Spoken]]:
    """Clips that are alike enough to be compared, each group with those whom the comparison is about."""
    voices, engines = defaultdict(list), defaultdict(list)
    for clip in clips:
        voices[clip.voice].append(clip)
        engines[clip.engine].append(clip)
    groups = [group for group in voices.values() if len(group) >= least]
    large = {group[0].voice for group in groups}
    for group in engines.values():
        few = [clip for clip in group if clip.voice not in large]
        if few and len(few) >= least:
            groups.append(few)
    return groups


def _robust(values: Sequence[float], narrowest: float) -> list[float]:
    """Distance of each value from the median in robust standard deviations, of at least ``narrowest``."""
    if not values:
        return []
    array = np.asarray(values)
    gaps = array - np.median(array)
    return [float(gap) for gap in gaps / max(NORMAL * float(np.median(np.abs(gaps))), narrowest)]
