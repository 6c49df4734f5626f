"""What can be told of a clip from its samples and its text: damage, silence, cut-offs, and a pace no voice has.

All functions take mono float32 samples at 16 kHz of shape (n,). Levels are taken over frames of 10 ms, as
`synthesis.trim` takes them; margins of digital silence do not count.
"""

from dataclasses import dataclass

import numpy as np

from syn2real.speech.audio import SAMPLE_RATE, SILENCE
from syn2real.speech.checking.findings import Finding
from syn2real.speech.checking.limits import DEFAULTS, SignalLimits
from syn2real.speech.checking.pace import fewest_letters, most_letters

FRAME = 160  # samples: 10 ms
STEP = 8  # samples: 0.5 ms, too short for a voice to die away in
QUIET = 0.01  # of the loudest frame (-40 dB): frames below hold no speech
LOUD = 90  # percentile of the levels of frames with speech that stands for the clip's loud frames
PLATEAU = 4  # samples in a row at the peak: more than the crest of any voiced sound has
AT_PEAK = 0.995  # of the peak
NEAR_PEAK = 0.7  # of the peak


@dataclass(frozen=True)
class Signal:
    """The figures of one clip that holds sound."""

    seconds: float  # of speech, from its first to its last frame
    loudest: float  # dBFS RMS of the loudest frame
    pause: float  # s, the longest inside the speech
    ending: float  # dB, the last 10 ms against the loud frames
    step: float  # dB, the last 0.5 ms against the loud frames
    flat: float  # share of samples in plateaus at the peak
    near_peak: float  # share of samples above 0.7 of the peak
    offset: float  # |mean| / RMS

    @classmethod
    def of(cls, samples: np.ndarray) -> "Signal | None":
        """The figures of finite samples; None for silence."""
        peak = float(np.abs(samples).max(initial=0.0))
        if peak < SILENCE:
            return None
        sounding = np.flatnonzero(samples)
        sound = samples[sounding[0] : sounding[-1] + 1].astype(np.float64)
        size = np.abs(sound)
        levels = _levels(sound)
        heard = np.flatnonzero(levels > QUIET * levels.max())
        loud = float(np.percentile(levels[heard], LOUD))
        return cls(
            seconds=float(heard[-1] - heard[0] + 1) * FRAME / SAMPLE_RATE,
            loudest=_decibels(levels.max()),
            pause=(int(np.diff(heard).max(initial=1)) - 1) * FRAME / SAMPLE_RATE,
            ending=_decibels(_rms(sound[-FRAME:]) / loud),
            step=_decibels(_rms(sound[-STEP:]) / loud),
            flat=_in_runs(size >= AT_PEAK * peak, PLATEAU) / sound.size,
            near_peak=float((size >= NEAR_PEAK * peak).mean()),
            offset=abs(float(sound.mean())) / _rms(sound),
        )


def judge_signal(
    samples: np.ndarray, text: str, limits: SignalLimits = DEFAULTS.signal, rate: float = 1.0
) -> list[Finding]:
    """What is wrong with a clip that should say ``text``; nothing for a good one.

    ``rate`` is the speaking rate asked for. Not every engine obeys it, so it widens the limits of pace and narrows
    none.
    """
    broken = int((~np.isfinite(samples)).sum())
    if broken:
        return [Finding("not finite", broken)]
    signal = Signal.of(samples)
    if signal is None or signal.loudest < limits.silence:
        return [Finding("silent", signal.loudest if signal else -120.0, limits.silence)]
    found = []
    if signal.offset > limits.offset:
        found.append(Finding("offset", signal.offset, limits.offset))
    if signal.flat > limits.plateaus:
        found.append(Finding("clipped", signal.flat, limits.plateaus))
    elif signal.near_peak > limits.near_peak:
        found.append(Finding("clipped", signal.near_peak, limits.near_peak))
    if signal.pause > limits.pause / min(1.0, rate):
        found.append(Finding("pause", signal.pause, limits.pause / min(1.0, rate)))
    return found + _judge_length(signal, text, limits, rate)


def _judge_length(signal: Signal, text: str, limits: SignalLimits, rate: float) -> list[Finding]:
    found = []
    least = fewest_letters(text)
    quick, drawn = max(1.0, rate), min(1.0, rate)
    if least:
        pace = signal.seconds * quick / least
        if signal.ending > limits.ending and pace < limits.hurried:
            found.append(Finding("hurried", pace, limits.hurried))
        elif pace < limits.fast:
            found.append(Finding("fast", pace, limits.fast))
    if not found and signal.ending > limits.ending and signal.step > limits.step:
        found.append(Finding("cut off", signal.step, limits.step))
    longest = limits.allowance + limits.slow * most_letters(text)
    if signal.seconds * drawn > longest:
        found.append(Finding("slow", signal.seconds * drawn, longest))
    return found


def _levels(sound: np.ndarray) -> np.ndarray:
    """RMS of each frame, the last one shorter: float64 of shape (frames,)."""
    starts = np.arange(0, sound.size, FRAME)
    return np.sqrt(np.add.reduceat(sound**2, starts) / np.minimum(FRAME, sound.size - starts))


def _rms(sound: np.ndarray) -> float:
    return float(np.sqrt((sound**2).mean()))


def _decibels(ratio: float) -> float:
    return float(20 * np.log10(max(ratio, 1e-6)))


def _in_runs(marked: np.ndarray, shortest: int) -> int:
    """How many are marked in runs of at least ``shortest``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.astype(np.int8), [0]))))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= shortest].sum())
