"""How loud and how fast: gain, clipping, speed."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from syn2real.speech.audio import SAMPLE_RATE, WINDOW, resample
from syn2real.speech.augmentation.transform import Interval, Transform, Within, transform


@transform("gain")
@dataclass(frozen=True)
class Gain(Transform):
    """Louder or softer by ``gain`` dB."""

    gain: Annotated[Interval, Within(-60, 40, "dB")] = (-12, 6)

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        return samples * np.float32(10 ** (random.uniform(*self.gain) / 20))


@transform("clipping")
@dataclass(frozen=True)
class Clipping(Transform):
    """An overdriven input: all above a level ``depth`` dB under the clip's peak is cut off."""

    depth: Annotated[Interval, Within(0, 40, "dB")] = (1, 10)

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        limit = np.abs(samples).max(initial=0.0) * np.float32(10 ** (-random.uniform(*self.depth) / 20))
        return np.clip(samples, -limit, limit)


@transform("speed")
@dataclass(frozen=True)
class Speed(Transform):
    """Played ``factor`` times as fast: shorter or longer, and as much higher or lower in pitch.

    A clip is never slowed past Whisper's window of 30 s.
    """

    factor: Annotated[Interval, Within(0.5, 2)] = (0.9, 1.1)

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        window = round(WINDOW * SAMPLE_RATE)
        factor = max(random.uniform(*self.factor), min(1.0, samples.size / window))
        return resample(samples, int(np.ceil(factor * SAMPLE_RATE)), SAMPLE_RATE)
