"""What stands between the microphone and the recogniser: limited bands, telephone lines, codecs."""

from dataclasses import dataclass
from io import BytesIO
from typing import Annotated

import numpy as np

from syn2real.speech.audio import SAMPLE_RATE, resample
from syn2real.speech.augmentation.spectrum import band_pass, shape
from syn2real.speech.augmentation.transform import Among, Interval, Transform, Within, transform

TELEPHONE_RATE = 8_000  # Hz

# What libsndfile calls them: container and coding.
_LINES = {"mu-law": ("WAV", "ULAW"), "a-law": ("WAV", "ALAW"), "gsm": ("WAV", "GSM610")}
_FILES = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS"), "vorbis": ("OGG", "VORBIS")}


def coded(samples: np.ndarray, rate: int, container: str, coding: str, compression: float | None = None) -> np.ndarray:
    """``samples`` after encoding and decoding in memory by libsndfile: float32, as long as before and in time.

    A clip that peaks above 1 is coded at a lower level, so that the coder does not clip it.
    """
    import soundfile

    scale = np.float32(max(1.0, float(np.abs(samples).max(initial=0.0))))
    file = BytesIO()
    soundfile.write(file, samples / scale, rate, coding, format=container, compression_level=compression)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    short = max(0, samples.size - decoded.size)
    return np.pad(decoded[: samples.size], (0, short)) * scale


@transform("band")
@dataclass(frozen=True)
class Band(Transform):
    """Only the frequencies from ``low`` to ``high`` Hz."""

    low: Annotated[Interval, Within(0, 2000, "Hz")] = (50, 200)
    high: Annotated[Interval, Within(2000, 8000, "Hz")] = (3000, 7000)

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        return shape(samples, band_pass(random.uniform(*self.low), random.uniform(*self.high)))


@transform("telephone")
@dataclass(frozen=True)
class Telephone(Transform):
    """A telephone line: 8 kHz, a band from ``low`` to ``high`` Hz, and a coding drawn from ``codings``.

    ``mu-law`` and ``a-law`` are G.711's, ``gsm`` is GSM 06.10, ``none`` leaves the samples as they are.
    """

    low: Annotated[Interval, Within(0, 1000, "Hz")] = (200, 400)
    high: Annotated[Interval, Within(1500, 3900, "Hz")] = (3200, 3500)
    codings: Annotated[tuple[str, ...], Among((*_LINES, "none"))] = ("mu-law", "a-law")

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        band = band_pass(random.uniform(*self.low), random.uniform(*self.high))
        coding = self.codings[random.integers(len(self.codings))]
        line = shape(resample(samples, SAMPLE_RATE, TELEPHONE_RATE), band, TELEPHONE_RATE)
        if coding != "none":
            line = coded(line, TELEPHONE_RATE, *_LINES[coding])
        back = resample(line, TELEPHONE_RATE, SAMPLE_RATE)
        return np.pad(back, (0, max(0, samples.size - back.size)))[: samples.size]


@transform("codec")
@dataclass(frozen=True)
class Codec(Transform):
    """A lossy codec drawn from ``formats``, at a ``compression`` from 0 (best) to 1 (smallest).

    From 0.6 to 0.95, speech takes about 36 to 24 kbit/s as MP3, 110 to 19 as Opus, 48 to 33 as Vorbis.
    """

    formats: Annotated[tuple[str, ...], Among(tuple(_FILES))] = tuple(_FILES)
    compression: Annotated[Interval, Within(0, 0.99)] = (0.6, 0.95)

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        name = self.formats[random.integers(len(self.formats))]
        return coded(samples, SAMPLE_RATE, *_FILES[name], random.uniform(*self.compression))
