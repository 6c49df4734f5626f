"""Filtering by the fast Fourier transform, at lengths for which it is fast."""

from collections.abc import Callable

import numpy as np

from syn2real.speech.audio import SAMPLE_RATE

Gain = Callable[[np.ndarray], np.ndarray]  # from frequencies in Hz to factors

_WRAP = 1024  # samples of silence that keep the end of a clip from ringing into its beginning


def fast_length(least: int) -> int:
    """The smallest m · 2^k with m from 9 to 16 that is not under ``least``: no large prime slows the transform."""
    step = 1 << max(0, (least - 1).bit_length() - 4)
    return -(-least // step) * step


def power(samples: np.ndarray) -> float:
    """Mean square. Summed by numpy alone, for a linear algebra library's sum depends on its threads."""
    return float(np.mean(np.square(samples, dtype=np.float64)))


def convolve(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The full convolution: float32 of shape (n + m − 1,)."""
    total = samples.size + response.size - 1
    length = fast_length(total)
    product = np.fft.rfft(samples, length) * np.fft.rfft(response, length)
    return np.fft.irfft(product, length)[:total].astype(np.float32)


def shape(samples: np.ndarray, gain: Gain, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Samples with each frequency multiplied by ``gain``: zero phase, float32, as long as before."""
    length = fast_length(samples.size + _WRAP)
    spectrum = np.fft.rfft(samples, length) * gain(frequencies(length, rate))
    return np.fft.irfft(spectrum, length)[: samples.size].astype(np.float32)


def frequencies(length: int, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Hz of each bin of a real transform of ``length`` samples: float32."""
    return np.fft.rfftfreq(length, 1 / rate).astype(np.float32)


def band_pass(low: float, high: float, slope: float = 100.0) -> Gain:
    """1 from ``low`` to ``high`` Hz, 0 outside, with raised-cosine edges ``slope`` Hz wide inside the stop bands.

    ``low`` of 0 leaves the bottom open; an edge at ``high`` ends ``slope`` Hz above it.
    """

    def gain(hertz: np.ndarray) -> np.ndarray:
        rise = np.clip((hertz - low) / slope + 1, 0, 1) if low > 0 else np.ones_like(hertz)
        fall = np.clip((high - hertz) / slope + 1, 0, 1)
        return 0.25 * (1 - np.cos(np.pi * rise)) * (1 - np.cos(np.pi * fall))

    return gain
