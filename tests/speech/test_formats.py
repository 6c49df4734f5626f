"""Recordings as they come: other formats, depths, rates and channels, damaged ends, and hours of them."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from syn2real.errors import AudioError
from syn2real.speech import audio


@pytest.fixture(scope="module")
def voice(wide_band) -> np.ndarray:
    """4 s of real speech at 16 kHz."""
    paths = sorted(utterance.audio_filepath for utterance in wide_band)
    return np.concatenate([audio.read(path) for path in paths[:8]])[:64_000]


def like(heard: np.ndarray, voice: np.ndarray) -> float:
    """Correlation with what was written, at the delay that a codec brings."""
    size = 1 << 17
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(voice, size))
    return float(np.fft.irfft(product).max() / np.linalg.norm(heard) / np.linalg.norm(voice))


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("a.wav", {"subtype": "PCM_U8"}, 0.98),
        ("a.wav", {"subtype": "PCM_24"}, 0.999),
        ("a.wav", {"subtype": "PCM_32"}, 0.999),
        ("a.flac", {"subtype": "PCM_24"}, 0.999),
        ("a.mp3", {}, 0.98),
        ("a.ogg", {"format": "OGG", "subtype": "OPUS"}, 0.95),
    ],
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_what_libsndfile_reads(voice, tmp_path, name, options, least, rate):
    written = audio.resample(voice, 16_000, rate)
    soundfile.write(tmp_path / name, np.stack([written, written], axis=1), rate, **options)
    heard = audio.read(tmp_path / name)
    assert heard.dtype == np.float32 and abs(heard.size - voice.size) < 1_000
    assert like(heard, audio.resample(written, rate)) > least
    parts = np.concatenate(list(audio.stream(tmp_path / name, 0.7)))
    assert abs(parts.size - heard.size) <= 2
    assert like(parts, heard) > 0.999
    part = audio.read(tmp_path / name, begin=1.0, end=2.5)
    assert part.size == 24_000
    assert like(part, heard[16_000:40_000]) > 0.99


@pytest.mark.parametrize(("name", "problem"), [("a.flac", "is damaged and cannot be decoded"), ("a.mp3", "ends after")])
def test_a_missing_end_is_named(voice, tmp_path, name, problem):
    path = tmp_path / name
    soundfile.write(path, voice, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(AudioError, match=rf"{name}: .*{problem}"):
        audio.read(path)
    with pytest.raises(AudioError, match=rf"{name}: .*{problem}"):
        list(audio.stream(path, 1.0))


def test_three_hours_are_read_in_the_memory_of_a_minute(voice, tmp_path):
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 8_000, 2, "PCM_16") as file:
        minute = np.repeat(np.tile(audio.resample(voice, 16_000, 8_000), 15)[:, None], 2, axis=1)
        for _ in range(180):
            file.write(minute)
    reading = (
        "import resource, sys; from pathlib import Path; from syn2real.speech import audio\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "blocks = audio.stream(Path(sys.argv[1]), 10.0); next(blocks); before = peak()\n"
        "print(sum(block.size for block in blocks), peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", reading, tmp_path / "long.wav"], capture_output=True, text=True)
    samples, grown = map(int, run.stdout.split())
    assert samples + 160_000 == pytest.approx(3 * 3600 * 16_000, abs=1_000)
    assert grown < 20_000  # KiB; the whole would be 690,000


class TestFfmpeg:
    @pytest.fixture
    def ffmpeg(self, tmp_path, monkeypatch) -> str:
        """ffmpeg on the PATH, and a cache of its own."""
        monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "cache"))
        if shutil.which("ffmpeg") is None:
            packaged = pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg").get_ffmpeg_exe()
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin" / "ffmpeg").symlink_to(packaged)
            monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        return "ffmpeg"

    @pytest.mark.parametrize(("name", "least"), [("a.g722", 0.95), ("a.m4a", 0.95)])
    def test_other_formats_are_decoded_once(self, ffmpeg, voice, tmp_path, name, least):
        soundfile.write(tmp_path / "a.wav", voice, 16_000)
        subprocess.run([ffmpeg, "-v", "error", "-i", tmp_path / "a.wav", tmp_path / name], check=True)
        assert like(audio.read(tmp_path / name), voice) > least
        (made,) = (tmp_path / "cache" / "decoded").iterdir()
        before = made.stat().st_mtime_ns
        assert audio.info(tmp_path / name).duration == pytest.approx(4, abs=0.1)
        assert made.stat().st_mtime_ns == before

    def test_what_is_no_sound_is_refused_in_one_line(self, ffmpeg, tmp_path):
        for name, content in (("a.m4a", b"not sound"), ("a.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(AudioError, match=f"{name}: cannot be read as audio, by ffmpeg neither") as caught:
                audio.read(tmp_path / name)
            assert "\n" not in str(caught.value)
        assert not list((tmp_path / "cache" / "decoded").glob("*"))


def test_without_ffmpeg_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    (tmp_path / "a.g722").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(AudioError, match=r"a.g722: cannot be read as audio; convert it .*, or install ffmpeg"):
        audio.read(tmp_path / "a.g722")
