"""Kokoro's packaged weights speak English that Whisper understands."""

import numpy as np
import pytest

from syn2real.errors import NotInstalled, UserError
from syn2real.speech import audio
from syn2real.speech.corpus import Corpus, Utterance
from syn2real.speech.engines import ENGINES, configured, engine, kokoro
from syn2real.speech.scoring import Pair, score
from syn2real.speech.transcription import TranscriptionSettings, transcribe

TEXT = "The train leaves at seven in the morning."


@pytest.fixture(scope="module")
def one():
    reason = ENGINES.get("kokoro")().available()
    if reason is not None:
        pytest.skip(reason)
    return engine("kokoro")


def test_is_understood(one, tiny_en, tmp_path):
    voice = one.voice("jm_kumo")
    samples, rate = one.speak(TEXT, voice, 1.0, 1.0, 3)
    assert 1.5 < samples.size / rate < 6 and np.abs(samples).max() <= 1
    audio.write_flac(tmp_path / "said.flac", audio.resample(samples, rate))
    said = Corpus.of([Utterance("said", tmp_path / "said.flac", samples.size / rate, TEXT)])
    heard = transcribe(tiny_en, said, TranscriptionSettings(window="full"))
    assert score([Pair("said", TEXT, heard["said"])], "english").total.errors <= 1, heard


def test_same_request_same_samples(one):
    first = [one.speak("Yes.", one.voice(name), 1.2, 1.0, 3)[0] for name in ("jf_alpha", "jm_kumo")]
    again = [one.speak("Yes.", one.voice(name), 1.2, 1.0, 9)[0] for name in ("jm_kumo", "jf_alpha")]
    for samples, repeated in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(samples, repeated)
    assert not np.array_equal(*first)


def test_damaged_weights_are_named(one, monkeypatch):
    monkeypatch.setattr(kokoro, "PARTS", 3)
    kokoro._model.cache_clear()
    with pytest.raises(UserError, match="its weights are damaged"):
        one.speak("Hello.", one.voice("jf_alpha"), 1.0, 1.0, 1)


def test_absent_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(kokoro, "find_spec", lambda package: None)
    with pytest.raises(NotInstalled, match=r"syn2real\[kokoro\]"):
        configured("kokoro").voices()
