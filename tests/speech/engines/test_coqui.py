"""Coqui's VITS by its true class, small and with random weights; where coqui-tts imports (it wants torchaudio)."""

import json
from dataclasses import replace

import numpy as np
import pytest

from syn2real.errors import NotInstalled, UserError
from syn2real.speech.corpus import Corpus
from syn2real.speech.engines import configured, coqui, engine, find_voice
from syn2real.speech.engines.prompts import read_prompts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    try:
        from TTS.tts.configs.vits_config import VitsConfig
        from TTS.tts.models.vits import Vits, VitsArgs
    except Exception as error:  # a broken torchaudio raises OSError
        pytest.skip(f"coqui-tts does not import: {error}")
    import torch

    place = tmp_path_factory.mktemp("coqui")
    (place / "speakers.json").write_text(json.dumps({"anna": 0, "bob": 1}))
    size = {"hidden_channels": 16, "hidden_channels_ffn_text_encoder": 16, "num_layers_text_encoder": 1}
    arguments = VitsArgs(
        **size,
        num_heads_text_encoder=2,
        num_layers_flow=1,
        num_layers_posterior_encoder=1,
        upsample_initial_channel_decoder=32,
        use_speaker_embedding=True,
        speaker_embedding_channels=8,
        speakers_file=str(place / "speakers.json"),
    )
    config = VitsConfig(model_args=arguments, use_phonemes=False, text_cleaner="basic_cleaners")
    config.use_speaker_embedding = True
    config.speakers_file = str(place / "speakers.json")
    torch.manual_seed(6)
    made = Vits(config)
    torch.save({"model": made.state_dict()}, place / "model.pth")
    config.save_json(str(place / "config.json"))
    return {"model": str(place)}


def say(given, name="random", seed=3, text="good morning", rate=1.0):
    voice = find_voice(f"coqui:{name}", {"coqui": given})
    return engine("coqui", given).speak(text, voice, rate, 1.0, seed)


def test_speaks_by_the_seed(model):
    samples, rate = say(model, "anna")
    assert rate == 22_050 and samples.dtype == np.float32 and np.abs(samples).max() > 0.01
    say(model, "bob", 8, "something else")
    np.testing.assert_array_equal(samples, say(model, "anna")[0])
    assert not np.array_equal(samples, say(model, "anna", 4)[0])
    assert not np.array_equal(samples, say(model, "bob")[0])


def test_random_takes_any_speaker(model):
    said = {say(model, "random", seed)[0].tobytes() for seed in range(8)}
    named = {say(model, name, seed)[0].tobytes() for name in ("anna", "bob") for seed in range(8)}
    assert len(said) == 8 and said < named


def test_rate(model):
    assert say(model, "anna", rate=0.7)[0].size > 1.2 * say(model, "anna", rate=1.4)[0].size


def test_unknown_speaker(model):
    with pytest.raises(UserError, match=r"has no speaker 'ann' .did you mean 'anna'"):
        say(model, "ann")


@pytest.fixture
def here(monkeypatch):
    """As if coqui-tts were installed: for what is said before it is imported."""
    monkeypatch.setattr(coqui, "find_spec", lambda package: object())


def test_xtts_is_refused_until_its_licence_is_agreed_to(here):
    with pytest.raises(UserError, match=r"not for commercial use.*coqui.agree_cpml=true"):
        engine("coqui", {"model": "xtts"})
    voices = engine("coqui", {"model": "xtts", "agree_cpml": True}).voices("es")
    assert [(v.name, v.commercial_ok, v.licence[:4]) for v in voices] == [("random@es", False, "CPML")]


def test_recordings_become_voices(here, tmp_path):
    given = {"model": "xtts", "agree_cpml": True, "speakers": str(tmp_path)}
    with pytest.raises(UserError, match="no folder of recordings"):
        engine("coqui", given)
    (tmp_path / "mary.wav").write_bytes(b"")
    made = configured("coqui", given)
    assert [voice.name for voice in made.voices("de")] == ["mary@de"]
    assert made.voice("mary@fr").language == "fr"
    with pytest.raises(UserError, match="did you mean 'mary'"):
        made.voice("marie")


def test_speakers_of_a_corpus_become_voices_under_its_licence(here, recordings, tmp_path):
    corpus = Corpus.load(recordings)
    named = Corpus.of(replace(u, speaker=f"s@{n % 3}", licence="CC-BY-4.0") for n, u in enumerate(corpus))
    manifest = recordings.parent / "named.jsonl"
    named.save(manifest)
    prompts = read_prompts(manifest)
    assert list(prompts) == ["s_0", "s_1", "s_2"]
    for n, prompt in enumerate(prompts.values()):
        nearest = min(list(named)[n::3], key=lambda u: (abs(u.duration - 8), u.id))
        assert prompt.path == nearest.audio_filepath
    given = {"model": "xtts", "agree_cpml": True, "speakers": str(manifest)}
    voices = configured("coqui", given).voices("es")
    assert [voice.name for voice in voices] == ["s_0@es", "s_1@es", "s_2@es"]
    assert {voice.licence for voice in voices} == {f"{coqui.CPML}; recording CC-BY-4.0"}
    assert not any(voice.commercial_ok for voice in voices)
    Corpus.of(replace(u, speaker=None) for u in corpus).save(recordings.parent / "unnamed.jsonl")
    with pytest.raises(UserError, match="no real recording names its speaker"):
        engine("coqui", given | {"speakers": str(recordings.parent / "unnamed.jsonl")})


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"model": "vctkk"}, "did you mean 'vctk'"), ({"agree_cpml": "perhaps"}, "agree_cpml")],
)
def test_options_are_checked(here, given, problem):
    with pytest.raises(UserError, match=problem):
        engine("coqui", given)


def test_absent_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(coqui, "find_spec", lambda package: None)
    with pytest.raises(NotInstalled, match=r"syn2real\[coqui\]"):
        configured("coqui").voices()
