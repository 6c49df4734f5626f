"""Noise beneath the speech, at a signal-to-noise ratio: generated, or out of recordings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from syn2real.speech import audio
from syn2real.speech.augmentation.recordings import Recorded
from syn2real.speech.augmentation.spectrum import fast_length, frequencies, power
from syn2real.speech.augmentation.transform import Among, Interval, Transform, Within, transform

COLOURS = ("white", "pink", "brown", "speech")
LOWEST = 20.0  # Hz under which coloured noise rises no further


def mix(speech: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """``speech`` with ``noise`` scaled so that the ratio of their mean powers over the clip is ``snr`` dB.

    Where either is digital silence no ratio exists, and the speech comes back as it was.
    """
    loud, quiet = power(speech), power(noise)
    if loud == 0 or quiet == 0:
        return speech
    return speech + noise * np.float32(np.sqrt(loud / quiet) * 10 ** (-snr / 20))


def coloured(size: int, random: np.random.Generator, amplitude: Callable[[int], np.ndarray]) -> np.ndarray:
    """Gaussian noise of ``size`` samples whose spectrum is ``amplitude`` of the transform's length: float32."""
    length = fast_length(size)
    bins = length // 2 + 1
    parts = random.standard_normal((bins, 2), dtype=np.float32)
    spectrum = parts.view(np.complex64)[:, 0] * amplitude(length)
    spectrum[0] = 0
    return np.fft.irfft(spectrum, length)[:size].astype(np.float32)


@transform("noise")
@dataclass(frozen=True)
class Noise(Transform):
    """Steady noise of a colour drawn from ``colours``, with ``snr`` dB between the clip's mean power and its own.

    Power falls with frequency f as 1 (white), 1/f (pink), 1/f² (brown), or as that of the clip itself (speech), which
    is the noise of many talkers at once and masks best.
    """

    snr: Annotated[Interval, Within(-20, 80, "dB")] = (5, 25)
    colours: Annotated[tuple[str, ...], Among(COLOURS)] = COLOURS

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        snr = random.uniform(*self.snr)
        colour = self.colours[random.integers(len(self.colours))]

        def amplitude(length: int) -> np.ndarray:
            if colour == "speech":
                return np.abs(np.fft.rfft(samples, length))
            exponent = {"white": 0.0, "pink": -0.5, "brown": -1.0}[colour]
            return np.maximum(frequencies(length), LOWEST) ** np.float32(exponent)

        return mix(samples, coloured(samples.size, random, amplitude), snr)


@transform("background")
@dataclass(frozen=True)
class Background(Recorded):
    """Recordings of your own beneath the speech: one layer of noise, or 4 to 8 of speech, which make babble.

    Each layer is an excerpt of one recording, equally loud; one shorter than the clip is repeated. ``snr`` in dB is
    between the clip's mean power and that of all layers together.
    """

    snr: Annotated[Interval, Within(-20, 80, "dB")] = (5, 25)
    layers: Annotated[Interval, Within(1, 32)] = (1, 1)

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`. Raises `AudioError` for a recording that cannot be read."""
        snr = random.uniform(*self.snr)
        total = np.zeros(samples.size, np.float32)
        for _ in range(round(random.uniform(*self.layers))):
            layer = audio.excerpt(self.draw(random), samples.size, random)
            total += layer / np.float32(max(np.sqrt(power(layer)), 1e-9))
        return mix(samples, total, snr)
