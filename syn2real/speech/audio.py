"""Reading, checking and writing recordings. Everywhere inside, audio is mono float32 in [-1, 1] at 16 kHz."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from syn2real.errors import AudioError

SAMPLE_RATE = 16_000  # Hz, what Whisper hears
WINDOW = 30.0  # s, Whisper's full window: the longest clip it can hold
SILENCE = 1e-4  # peak amplitude under which a clip holds no speech (-80 dBFS)


@dataclass(frozen=True)
class AudioInfo:
    """What the header of a recording says."""

    rate: int  # Hz
    frames: int
    channels: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate


def info(path: Path) -> AudioInfo:
    """Header of a recording. Raises `AudioError` when it is missing, unreadable or of zero length."""
    import soundfile

    try:
        there = path.is_file()
    except OSError as error:  # a name too long for the file system
        raise AudioError(f"{path}: {error.strerror}; correct the path") from error
    if not there:
        raise AudioError(f"{path}: no such recording (paths are relative to the manifest)")
    try:
        header = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: cannot be read as audio; convert it to FLAC, WAV or Ogg") from error
    if header.frames == 0:
        raise AudioError(f"{path}: zero-length recording; remove it from the manifest")
    return AudioInfo(header.samplerate, header.frames, header.channels)


def read(path: Path, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Samples of a recording: float32 of shape (n,), channels averaged, resampled to ``rate`` Hz.

    Raises `AudioError` when it is missing, unreadable, of zero length, holds NaN or infinity, or is silent.
    """
    import soundfile

    info(path)
    try:
        samples, native = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: is damaged and cannot be decoded; remove or replace it") from error
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; re-export it")
    if mono.size == 0 or float(np.abs(mono).max()) < SILENCE:
        raise AudioError(f"{path}: is silent (peak below {SILENCE:g}); remove it from the manifest")
    return resample(mono, native, rate)


def require_window(path: Path, duration: float) -> None:
    """Raise `AudioError` when a clip is longer than Whisper's window. Clips are refused rather than cut in silence."""
    if duration > WINDOW:
        raise AudioError(f"{path}: lasts {duration:.1f} s; clips over {WINDOW:.0f} s are refused, split it first")


def resample(samples: np.ndarray, source: int, target: int = SAMPLE_RATE) -> np.ndarray:
    """Resample float32 samples of shape (n,) from ``source`` to ``target`` Hz."""
    import soxr

    if source == target:
        return np.ascontiguousarray(samples, dtype=np.float32)
    return soxr.resample(samples, source, target, quality="HQ").astype(np.float32)


def write_flac(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write 16-bit mono FLAC, whole or not at all. Samples outside [-1, 1] are scaled down, never clipped."""
    from syn2real.sealing import sealed_file

    with sealed_file(path) as partial:
        partial.write_bytes(flac_bytes(samples, rate))


def flac_bytes(samples: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    """What `write_flac` writes."""
    import soundfile

    peak = float(np.abs(samples).max(initial=0.0))
    content = BytesIO()
    soundfile.write(content, samples / peak if peak > 1 else samples, rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()
