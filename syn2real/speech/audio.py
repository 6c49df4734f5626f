"""Reading, checking and writing recordings. Everywhere inside, audio is mono float32 in [-1, 1] at 16 kHz."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from syn2real.errors import AudioError
from syn2real.speech import ffmpeg

SAMPLE_RATE = 16_000  # Hz, what Whisper hears
WINDOW = 30.0  # s, Whisper's full window: the longest clip it can hold
FOREIGN = {".g722", ".m4a", ".mp4", ".aac", ".amr", ".wma", ".webm", ".mkv", ".3gp", ".ac3"}  # formats ffmpeg reads
UNKNOWN = 1 << 40  # frames: more has a header that does not tell how many there are
SILENCE = 1e-4  # peak amplitude under which a clip holds no speech (-80 dBFS)


class SilentError(AudioError):
    """A recording in which nothing can be heard."""


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
    return _opened(path)[1]


def read(path: Path, rate: int = SAMPLE_RATE, *, begin: float = 0.0, end: float | None = None) -> np.ndarray:
    """Samples of a recording, or of its part from ``begin`` to ``end`` (s): float32 of shape (n,), channels averaged,
    resampled to ``rate`` Hz.

    Raises `AudioError` when it is missing, unreadable, of zero length, cut short, holds NaN or infinity, or is silent.
    """
    source, header = _opened(path)
    first = min(round(begin * header.rate), header.frames)
    last = header.frames if end is None else min(round(end * header.rate), header.frames)
    mono = _decoded(path, source, header, first, last)
    if mono.size == 0 or float(np.abs(mono).max()) < SILENCE:
        raise SilentError(f"{path}: is silent (peak below {SILENCE:g}); remove it from the manifest")
    return resample(mono, header.rate, rate)


def excerpt(path: Path, size: int, random: np.random.Generator) -> np.ndarray:
    """``size`` samples at 16 kHz from a place drawn at random, float32; a shorter recording is repeated, silence is
    taken as it is.

    Only what is needed is decoded, for a recording may be hours long. Raises `AudioError` as `read` does.
    """
    source, header = _opened(path)
    needed = size * header.rate // SAMPLE_RATE + 2  # the resampler rounds
    start = int(random.integers(max(1, header.frames - needed + 1)))
    mono = _decoded(path, source, header, start, min(start + needed, header.frames))
    return np.resize(resample(mono, header.rate), size)


def stream(path: Path, seconds: float) -> Iterator[np.ndarray]:
    """A recording at 16 kHz as `read` gives it, block by block of about so many seconds, silent ones too.

    Memory does not grow with its length. Raises `AudioError` as `read` does, but for silence.
    """
    import soundfile
    import soxr

    source, header = _opened(path)
    resampler = soxr.ResampleStream(header.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    seen = 0
    try:
        with soundfile.SoundFile(str(source)) as file:
            while True:
                samples = file.read(round(seconds * header.rate), dtype="float32", always_2d=True)
                seen += len(samples)
                mono = _finite(path, samples.mean(axis=1)) if len(samples) else np.zeros(0, np.float32)
                same = header.rate == SAMPLE_RATE
                yield mono if same else resampler.resample_chunk(mono, last=not len(samples))
                if not len(samples):
                    break
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: is damaged and cannot be decoded; remove or replace it") from error
    if seen < header.frames:
        raise _cut_short(path, seen / header.rate, header)


def _decoded(path: Path, source: Path, header: AudioInfo, first: int, last: int) -> np.ndarray:
    """Frames ``first`` to ``last`` of the file that stands for a recording, channels averaged: float32."""
    import soundfile

    try:
        samples, _ = soundfile.read(str(source), start=first, stop=last, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: is damaged and cannot be decoded; remove or replace it") from error
    if len(samples) < last - first:
        raise _cut_short(path, (first + len(samples)) / header.rate, header)
    return _finite(path, samples.mean(axis=1))


def _opened(path: Path) -> tuple[Path, AudioInfo]:
    """The file that libsndfile reads for a recording, which may be what ffmpeg made of it, and its header."""
    import soundfile

    try:
        there = path.is_file()
    except OSError as error:  # a name too long for the file system
        raise AudioError(f"{path}: {error.strerror}; correct the path") from error
    if not there:
        raise AudioError(f"{path}: no such recording (paths are relative to the manifest)")
    source, problem, cause = path, "", None
    try:
        header = soundfile.info(str(path))
        if header.frames > UNKNOWN:
            problem = "does not say how long it is, as when it is written to a pipe; encode it anew, or install ffmpeg"
    except (soundfile.LibsndfileError, RuntimeError) as error:
        hint = ", or install ffmpeg, which reads other formats" if path.suffix.lower() in FOREIGN else ""
        problem, cause = f"cannot be read as audio; convert it to FLAC, WAV or Ogg{hint}", error
    if problem:
        if not ffmpeg.installed() or not path.stat().st_size:
            raise AudioError(f"{path}: {problem}") from cause
        source = ffmpeg.decoded(path)
        header = soundfile.info(str(source))
    if header.frames == 0:
        raise AudioError(f"{path}: zero-length recording; remove it from the manifest")
    return source, AudioInfo(header.samplerate, header.frames, header.channels)


def _finite(path: Path, samples: np.ndarray) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; re-export it")
    return samples


def _cut_short(path: Path, seconds: float, header: AudioInfo) -> AudioError:
    return AudioError(f"{path}: is damaged: ends after {seconds:.1f} of {header.duration:.1f} s; get it anew")


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
    from syn2real.sealing import write_bytes

    write_bytes(path, flac_bytes(samples, rate))


def flac_bytes(samples: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    """What `write_flac` writes."""
    import soundfile

    peak = float(np.abs(samples).max(initial=0.0))
    content = BytesIO()
    soundfile.write(content, samples / peak if peak > 1 else samples, rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()
