"""SpeechT5, Bark and VITS by their true classes, small and with random weights: loaded from disk as the real are."""

import shutil

import numpy as np
import pytest

from syn2real.errors import UserError
from syn2real.speech.engines import configured, engine, find_voice, list_voices
from syn2real.speech.engines.pretrained import drawing

TEXT = "The train leaves at seven."
VOICES = {
    "speecht5": ("random", "cmu_us_slt_a", "*_bdl_*"),
    "bark": ("en", "v2/en_speaker_3"),
    "vits": ("model-0", "model-2"),
}
RATES = {"speecht5": 16_000, "bark": 24_000, "vits": 16_000}


@pytest.fixture(scope="module")
def options(speecht5_parts, bark_model, vits_model):
    return {
        "speecht5": speecht5_parts,
        "bark": {"model": str(bark_model)},
        "vits": {"model": str(vits_model), "language": "en"},
    }


@pytest.fixture(params=VOICES)
def name(request):
    return request.param


@pytest.fixture
def voices(name, options):
    return [find_voice(f"{name}:{voice}", options) for voice in VOICES[name]]


def say(voice, seed=3, text=TEXT, rate=1.0, pitch=1.0):
    return engine(voice.engine, dict(voice.options)).speak(text, voice, rate, pitch, seed)[0]


def test_speaks(name, voices):
    said = [say(voice) for voice in voices]
    for samples, voice in zip(said, voices, strict=True):
        assert samples.dtype == np.float32 and samples.ndim == 1
        assert 0.01 < np.abs(samples).max() <= 1.0
        assert 0.2 < samples.size / voice.sample_rate < 20
        assert voice.sample_rate == RATES[name]
    assert len({samples.tobytes() for samples in said}) == len(voices)  # each voice is another


def test_seed_alone_decides(voices):
    import torch

    first = [say(voice) for voice in voices]
    torch.manual_seed(99)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    say(voices[0], 8, "Something else came in between.")
    again = [say(voice) for voice in reversed(voices)]
    for one, other in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], say(voices[0], 4))
    assert torch.equal(state, torch.random.get_rng_state()) and torch.get_num_threads() == threads


def test_threads_change_nothing(voices):
    import torch

    one, threads = say(voices[0]), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        np.testing.assert_array_equal(one, say(voices[0]))
    finally:
        torch.set_num_threads(threads)


def test_a_random_speaker_for_every_utterance(options):
    voice = find_voice("speecht5:random", options)
    vectors = engine("speecht5", options["speecht5"])._vectors
    drawn = [vectors.draw(voice.name, seed, 8) for seed in range(40)]
    assert len({vector.tobytes() for vector in drawn}) == 4
    of_slt = {vectors.draw("*_slt_*", seed, 8).tobytes() for seed in range(40)}
    assert len(of_slt) == 2 and vectors.draw("cmu_us_slt_a", 0, 8).tobytes() in of_slt


def test_rate_and_pitch_of_vits(options):
    voice = find_voice("vits:model-1", options)
    assert say(voice, rate=0.7).size > 1.3 * say(voice, rate=1.4).size
    assert not np.array_equal(say(voice), say(voice, pitch=1.2))


def test_a_copy_of_the_model_says_the_same(name, voices, options, tmp_path):
    copy = shutil.copytree(options[name]["model"], tmp_path / "copy")
    moved = find_voice(f"{name}:{VOICES[name][0]}", {name: {**options[name], "model": str(copy)}})
    np.testing.assert_array_equal(say(voices[0]), say(moved))


@pytest.mark.parametrize("model", VOICES)
def test_voices_are_listed_without_weights(model):
    found = list_voices([model], "en")
    assert found and all(voice.licence and voice.language == "en" for voice in found)
    assert not any("_parts" in vars(configured(model)) for voice in found)


def test_what_would_be_fetched(name, voices, options, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert engine(name, options[name]).to_fetch(voices) == []
    default = engine(name)
    assert default.to_fetch(default.voices("en"))[0].count("/") == 1


def test_known_licences():
    said = {voice.id: (voice.licence, voice.commercial_ok) for voice in list_voices(["speecht5", "bark", "vits"])}
    assert said["speecht5:random"] == said["bark:en"] == said["vits:vctk-7"] == ("MIT", True)
    assert said["vits:mms-spa"] == ("CC BY-NC 4.0", False)


def test_licence_of_another_model_is_the_users_to_say(name, voices, options):
    assert not voices[0].commercial_ok and "unknown" in voices[0].licence
    more = {**options[name], "licence": "CC0-1.0", "commercial": True}
    voice = find_voice(f"{name}:{VOICES[name][0]}", {name: more})
    assert (voice.licence, voice.commercial_ok) == ("CC0-1.0", True)


def test_presets_of_bark(options):
    presets = list_voices(["bark"], "de", {"bark": {"presets": True}})
    assert [voice.name for voice in presets] == [f"v2/de_speaker_{number}" for number in range(10)]
    with pytest.raises(UserError, match="did you mean 'v2/en_speaker_9'"):
        find_voice("bark:v2/en_speaker_99")
    with pytest.raises(UserError, match="the preset cannot be read"):
        engine("bark", options["bark"]).prepare([find_voice("bark:v2/en_speaker_4", options)])


@pytest.mark.parametrize(
    ("engine_name", "given", "problem"),
    [
        ("speecht5", {"modell": "x"}, "unknown key 'modell' .did you mean 'model'"),
        ("speecht5", {"model": ["a"]}, "option 'model' must be a text"),
        ("speecht5", {"model": "./nowhere"}, "model ./nowhere: no such directory; give one, or a hub id"),
        ("speecht5", {"xvectors": "none.npz"}, "xvectors none.npz: no such file"),
        ("bark", {"model": "nowhere"}, "no such directory"),
        ("bark", {"presets": "perhaps"}, "presets"),
        ("vits", {"model": "org/model"}, "is not known; fetch it and give its directory"),
        ("espeak", {"model": "x"}, "has no options"),
    ],
)
def test_options_are_checked_before_anything_is_loaded(engine_name, given, problem):
    with pytest.raises(UserError, match=problem) as error:
        engine(engine_name, given).voices("en")
    assert f"engine '{engine_name}'" in str(error.value) and "\n" not in str(error.value)


def test_weights_that_cannot_be_had_are_known_before_speaking(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name, model in (("speecht5", "microsoft/speecht5_tts"), ("bark", "suno/bark"), ("vits", "kakao")):
        chosen = engine(name)
        with pytest.raises(UserError, match=f"engine '{name}': {model}.*; or give a directory: option {name}.model"):
            chosen.prepare(chosen.voices("en")[:1])


def test_damaged_weights_are_one_line(name, options, tmp_path):
    copy = shutil.copytree(options[name]["model"], tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"not weights")
    voice = find_voice(f"{name}:{VOICES[name][0]}", {name: {**options[name], "model": str(copy)}})
    with pytest.raises(UserError, match=r"copy: cannot be loaded \(.*\); fetch it again") as error:
        say(voice)
    assert "\n" not in str(error.value)


def test_weights_of_another_shape_are_refused(options, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(options["speecht5"]["vocoder"], tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    tensors.pop("conv_pre.bias")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    voice = find_voice("speecht5:random", {"speecht5": {**options["speecht5"], "vocoder": str(copy)}})
    with pytest.raises(UserError, match=r"1 tensors are missing, conv_pre\.bias"):
        say(voice)


def test_text_that_cannot_be_spoken_names_voice_and_sentence(options):
    long = "word " * 60
    for name, text, problem in (
        ("speecht5:random", "привет", "it has no sign for в"),
        ("speecht5:random", long, "characters of at most 120; split it"),
        ("bark:en", long, "tokens of at most 64; split it"),
        ("vits:model-1", "привет", "vits: voice model-1 .en. has no letter of 'привет'"),
    ):
        with pytest.raises(UserError, match=problem):
            say(find_voice(name, options), text=text)


def test_nan_from_a_model_is_named(options, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(options["vits"]["model"], tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    tensors["decoder.conv_pre.bias"].fill_(float("nan"))
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    voice = find_voice("vits:model-1", {"vits": {**options["vits"], "model": str(copy)}})
    with pytest.raises(UserError, match="vits: voice model-1 gave NaN or infinite samples for 'The train"):
        say(voice)


def test_a_crash_is_one_line_with_voice_and_sentence(options, monkeypatch):
    voice = find_voice("bark:en", options)
    parts = engine("bark", options["bark"])._parts
    monkeypatch.setitem(parts[1].generation_config.semantic_config, "text_encoding_offset", 10_000)
    with pytest.raises(UserError, match=r"bark: voice en failed on 'The train leaves at seven.': IndexError"):
        say(voice)


def test_drawing_gives_the_generator_back_after_an_error():
    import torch

    state = torch.random.get_rng_state()
    with pytest.raises(RuntimeError), drawing(3):
        torch.rand(1)
        raise RuntimeError
    assert torch.equal(state, torch.random.get_rng_state())
