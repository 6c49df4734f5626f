from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from syn2real.errors import AudioError, UserError
from syn2real.speech import audio

SPEECH = Path(__file__).parents[3] / "shared" / "data" / "speechocean762" / "audio"


def tone(seconds: float = 0.5, rate: int = 16_000, pitch: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def refused(path: Path, problem: str) -> None:
    with pytest.raises(AudioError, match=problem) as caught:
        audio.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("form", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("wav", "FLOAT")]
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_every_form_becomes_16_khz_mono(tmp_path: Path, form: str, subtype: str, rate: int) -> None:
    path = tmp_path / f"a.{form}"
    soundfile.write(path, np.stack([tone(1, rate)] * 2, axis=1), rate, subtype=subtype)
    samples = audio.read(path)
    assert samples.dtype == np.float32 and samples.shape == (16_000,)
    assert np.argmax(np.abs(np.fft.rfft(samples))) == 440  # 1 s: a bin is 1 Hz
    assert audio.info(path).channels == 2 and audio.info(path).duration == 1


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), np.zeros(8_000)], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav"), tone() / 2, atol=1e-6)


def test_bad_recordings_say_why(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    refused(path, "no such recording")
    refused(tmp_path, "no such recording")
    path.write_bytes(b"")
    refused(path, "cannot be read as audio; convert it")
    path.write_text("RIFF, but not truly")
    refused(path, "cannot be read as audio; convert it")
    soundfile.write(path, np.zeros(0), 16_000)
    refused(path, "zero-length recording; remove it")
    soundfile.write(path, np.zeros(16_000), 16_000)
    refused(path, r"is silent \(peak below 0.0001\); remove it")
    for value in (np.nan, np.inf):
        broken = tone()
        broken[7] = value
        soundfile.write(path, broken, 16_000, subtype="FLOAT")
        refused(path, "NaN or infinite samples; re-export it")


def test_a_flac_that_was_written_to_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header says 0 samples, which stands for any number."""
    path, whole = tmp_path / "a.flac", tmp_path / "whole.flac"
    soundfile.write(whole, tone(), 16_000)
    content = bytearray(whole.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    monkeypatch.setattr(audio.ffmpeg, "installed", lambda: None)
    refused(path, "does not say how long it is, as when it is written to a pipe; encode it anew, or install ffmpeg")
    monkeypatch.setattr(audio.ffmpeg, "installed", lambda: "ffmpeg")
    monkeypatch.setattr(audio.ffmpeg, "decoded", lambda path: whole)
    assert audio.info(path).frames == len(tone()) and np.array_equal(audio.read(path), audio.read(whole))


def test_damaged_flac_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 64_000), 16_000)
    whole = path.read_bytes()
    path.write_bytes(whole[:300] + bytes(2_000) + whole[2_300:])
    refused(path, "damaged|NaN|silent")


def test_the_window_is_thirty_seconds() -> None:
    audio.require_window(Path("a.wav"), 30.0)
    with pytest.raises(AudioError, match=r"a.wav: lasts 30.1 s; clips over 30 s are refused, split it"):
        audio.require_window(Path("a.wav"), 30.1)


@given(st.integers(1, 4_000), st.floats(0.001, 3.0))
def test_flac_keeps_the_samples(tmp_path_factory: pytest.TempPathFactory, size: int, peak: float) -> None:
    path = tmp_path_factory.mktemp("flac") / "a.flac"
    samples = np.random.default_rng(size).uniform(-1, 1, size).astype(np.float32)
    samples *= peak / np.abs(samples).max()
    audio.write_flac(path, samples)
    expected = samples / max(1.0, float(np.abs(samples).max()))  # scaled, not clipped
    np.testing.assert_allclose(audio.read(path), expected, atol=1 / 32_768)


def test_nothing_is_left_of_a_failed_write(tmp_path: Path) -> None:
    with pytest.raises((UserError, RuntimeError, TypeError, ValueError)):
        audio.write_flac(tmp_path / "a.flac", tone(), rate=-1)
    assert list(tmp_path.iterdir()) == []


def test_resampling_there_and_back() -> None:
    samples = tone(1)
    back = audio.resample(audio.resample(samples, 16_000, 48_000), 48_000, 16_000)
    np.testing.assert_allclose(back[800:-800], samples[800:-800], atol=1e-3)
    assert audio.resample(samples, 16_000) is not None and audio.resample(samples, 16_000).dtype == np.float32


def test_real_recordings() -> None:
    if not SPEECH.is_dir():
        pytest.skip("speechocean762 is not beside the repository")
    for path in sorted(SPEECH.glob("*.flac"))[:20]:
        samples = audio.read(path)
        assert samples.size == audio.info(path).frames and 0.5 < samples.size / audio.SAMPLE_RATE < 30
        assert 0.001 < np.abs(samples).max() <= 1
