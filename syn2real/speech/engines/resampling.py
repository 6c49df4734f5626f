"""A pitch for engines that have none: speak slower or faster, then play the samples faster or slower.

Formants move with the fundamental, as they do from a long vocal tract to a short one. Adults differ by some 15 % in
tract length but by far more in pitch, so only the square root of the factor asked for is applied.
"""

import numpy as np

from syn2real.speech.audio import resample

_GRID = 1000  # factors are rounded to thousandths, so that the resampling ratio is rational


def speed_before(rate: float, pitch: float) -> float:
    """The speed at which to speak so that the rate is ``rate`` once `change_voice` has played the samples faster."""
    return rate / _factor(pitch)


def change_voice(samples: np.ndarray, pitch: float) -> np.ndarray:
    """Float32 samples of shape (n,) played √``pitch`` times as fast, at the same sample rate."""
    factor = _factor(pitch)
    if factor == 1 or samples.size == 0:
        return samples
    return np.clip(resample(samples, round(factor * _GRID), _GRID), -1, 1)


def _factor(pitch: float) -> float:
    return round(pitch**0.5 * _GRID) / _GRID
