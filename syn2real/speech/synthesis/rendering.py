"""From a rendition to its finished clip: spoken, resampled, trimmed, brought to its level, set between margins."""

import numpy as np

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.engines import engine_of
from syn2real.speech.synthesis.rendition import Rendition

FRAME = 0.01  # s over which loudness is measured when looking for where speech starts and ends
QUIET = 0.01  # of the loudest frame (-40 dB): frames below are silence
SHORTEST = 0.05  # s of speech that a clip must hold


def render(rendition: Rendition) -> np.ndarray:
    """The finished clip: float32 at 16 kHz. Raises `UserError` for text the voice cannot speak or that is too long."""
    voice = rendition.voice
    text = rendition.sentence.text
    samples, rate = engine_of(voice).speak(text, voice, rendition.rate, rendition.pitch, rendition.seed)
    speech = trim(audio.resample(samples, rate))
    seconds = speech.size / audio.SAMPLE_RATE
    if seconds < SHORTEST:
        raise UserError(f"{voice.id} gave {seconds:.2f} s of speech")
    before, after = (np.zeros(round(margin * audio.SAMPLE_RATE), np.float32) for margin in rendition.margins)
    if seconds + sum(rendition.margins) > audio.WINDOW:
        raise UserError(f"{voice.id} needs {seconds:.0f} s of at most {audio.WINDOW:.0f} s; split the sentence")
    return np.concatenate([before, set_level(speech, rendition.level), after])


def trim(samples: np.ndarray) -> np.ndarray:
    """16 kHz samples from the first to the last frame that is not silence, so that all engines' margins are alike.

    A frame of 10 ms is silence when its RMS is 40 dB under the loudest frame's.
    """
    length = round(FRAME * audio.SAMPLE_RATE)
    frames = samples[: samples.size // length * length].reshape(-1, length).astype(np.float64)
    if frames.size == 0:
        return samples[:0]
    loudness = np.sqrt((frames**2).mean(axis=1))
    heard = np.flatnonzero(loudness > QUIET * loudness.max())
    if heard.size == 0:
        return samples[:0]
    # One frame more on either side, so that no onset or decay is cut.
    return samples[max(0, heard[0] - 1) * length : (heard[-1] + 2) * length]


def set_level(samples: np.ndarray, level: float) -> np.ndarray:
    """Samples scaled to an RMS of ``level`` dBFS, or less where the peak would pass -0.5 dBFS."""
    wide = samples.astype(np.float64)
    rms, peak = float(np.sqrt((wide**2).mean())), float(np.abs(wide).max())
    return (wide * min(10 ** (level / 20) / rms, 10 ** (-0.5 / 20) / peak)).astype(np.float32)
