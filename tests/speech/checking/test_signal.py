"""A good clip passes; one that is damaged on purpose is found, and by the right name."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.checking import Limits, Signal, SignalLimits, judge_signal
from syn2real.speech.checking.limits import DEFAULTS
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import ENGINES
from syn2real.speech.synthesis import Cast, SynthesisSettings, plan, render

RATE = audio.SAMPLE_RATE
TEXTS = (
    "could you tell me when the next train to the airport leaves",
    "please add two litres of milk and some bread to my shopping list",
    "turn the heating down in the bedroom at eleven tonight",
    "play the song that my sister sent me yesterday evening",
)


def kinds(samples: np.ndarray, text: str, **options) -> list[str]:
    return [finding.kind for finding in judge_signal(np.asarray(samples, np.float32), text, **options)]


@pytest.fixture(scope="module")
def spoken() -> list[tuple[np.ndarray, str]]:
    """Sentences by every quick engine that is here, with their texts."""
    engines = [name for name in ("espeak", "hibari", "pico") if ENGINES.get(name)().available() is None]
    if not engines:
        pytest.skip("needs an engine that speaks English")
    clips = []
    for name in engines:
        settings = SynthesisSettings(engines=(name,), renditions=2, seed=5)
        sentences = [Sentence(f"s{number}", text) for number, text in enumerate(TEXTS)]
        clips += [(render(r), r.sentence.text) for r in plan(sentences, settings, Cast.choose(settings))]
    return clips


def test_what_engines_say_is_good(spoken):
    assert [kinds(samples, text) for samples, text in spoken] == [[]] * len(spoken)


def test_what_people_say_is_good(spoken_english):
    for utterance in spoken_english[:40]:
        samples = audio.read(utterance.audio_filepath)
        assert kinds(samples, utterance.text, limits=DEFAULTS.of_source("real")) == []


def test_a_clip_cut_off_early_is_found(spoken):
    """Wherever it was cut in its first 60 %; later cuts need the recogniser."""
    found = []
    for samples, text in spoken:
        for share in (0.2, 0.4, 0.6):
            cut = samples[: round(share * samples.size)]
            found.append(kinds(np.concatenate([cut, np.zeros(2000, np.float32)]), text))
    assert sum(map(bool, found)) >= 0.8 * len(found)
    assert {kind for one in found for kind in one} <= {"cut off", "hurried", "fast"}


def test_clipping_is_found(spoken):
    for samples, text in spoken:
        clipped = np.clip(samples, *(np.array([-1, 1]) * np.abs(samples).max() / 8))
        assert kinds(clipped, text) == ["clipped"]


def test_a_pause_is_found_by_its_length(spoken):
    for samples, text in spoken:
        half = samples.size // 2
        halves = [samples[:half], np.zeros(3 * RATE, np.float32), samples[half:]]
        joined = np.concatenate(halves)
        assert "pause" in kinds(joined, text)
        assert "pause" not in kinds(joined, text, limits=Limits.of({"pause": 6}).signal)


def test_speech_said_again_and_again_is_too_long(spoken):
    for samples, text in spoken:
        assert kinds(np.tile(samples, 5), text) == ["slow"]


def test_another_text_is_told_by_length_alone_when_it_is_far_longer(spoken):
    for samples, text in spoken:
        assert kinds(samples, text * 4) == ["fast"]


def test_a_word_in_a_long_silence_is_judged(spoken):
    samples, _ = spoken[0]
    word = np.concatenate([samples[8000:9600], np.zeros(10 * RATE, np.float32), samples[8000:9600]])
    assert "pause" in kinds(word, "and")


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_is_found(level):
    noise = level * np.random.default_rng(0).standard_normal(RATE)
    assert kinds(noise, "hello") == ["silent"]
    assert kinds(np.zeros(0), "hello") == ["silent"]


def test_what_is_no_number_is_found(spoken):
    samples, text = spoken[0]
    broken = samples.copy()
    broken[100:103] = np.nan
    (finding,) = judge_signal(broken, text)
    assert str(finding) == "3 samples are NaN or infinite"


def test_an_offset_is_found(spoken):
    samples, text = spoken[0]
    assert "offset" in kinds(0.05 * samples / np.abs(samples).max() + 0.5, text)


def test_a_slow_rate_may_take_longer(spoken):
    samples, text = spoken[0]
    slow = np.tile(samples, 5)
    assert kinds(slow, text) == ["slow"]
    assert kinds(slow, text, rate=0.4) == []


@given(st.floats(-60, 0), st.integers(0, 4000), st.integers(0, 4000))
def test_neither_level_nor_margins_matter(level, before, after):
    generator = np.random.default_rng(0)
    voice = np.sin(np.arange(RATE) / 12) * np.hanning(RATE) + 1e-4 * generator.standard_normal(RATE)
    plain = Signal.of(voice.astype(np.float32))
    scaled = np.pad(voice * 10 ** (level / 20), (before, after)).astype(np.float32)
    other = Signal.of(scaled)
    assert plain is not None and other is not None
    for name in ("seconds", "pause", "near_peak"):
        assert getattr(other, name) == pytest.approx(getattr(plain, name), abs=1e-3)
    assert other.ending == pytest.approx(plain.ending, abs=0.1)
    assert other.loudest == pytest.approx(plain.loudest + level, abs=0.1)


def test_limits_are_checked():
    with pytest.raises(UserError, match="pause must be a number above 0, not -1"):
        SignalLimits(pause=-1)
    with pytest.raises(UserError, match=r"unknown limit 'pauze' \(did you mean 'pause'\?\)"):
        Limits.of({"pauze": 1})
    both = Limits.of({"pause": 7, "reject": 0.4})
    assert (both.signal.pause, both.recorded.pause, both.hearing.reject) == (7, 7, 0.4)
    assert replace(both.signal, pause=2.0) == SignalLimits()
