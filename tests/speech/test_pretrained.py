"""A directory is a Whisper model or is refused in one line that says what it lacks."""

import json
import shutil
from importlib.metadata import files
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.speech.pretrained import (
    PACKAGES,
    languages_of,
    licence_of,
    only_language,
    require_language,
    resolve_model,
)
from syn2real.speech.recogniser import load_recogniser


@pytest.fixture
def model(tmp_path, tiny_en) -> Path:
    """A copy of Whisper tiny.en to damage."""
    return Path(shutil.copytree(tiny_en, tmp_path / "model"))


@pytest.fixture
def converted(tmp_path, tiny_en, monkeypatch) -> Path:
    """Whisper tiny.en as CTranslate2 has it, to be converted into an empty cache."""
    package = PACKAGES["whisper-tiny.en"]
    located = {str(file): Path(str(file.locate())) for file in files(package.distributions[0]) or []}
    folder = tmp_path / "ct2"
    folder.mkdir()
    (folder / "model.bin").symlink_to(located[package.weights[0]])
    shutil.copy(located[package.tokenizer], folder / "tokenizer.json")
    shutil.copy(located[package.config], folder / "config.json")
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "cache"))
    return folder


def change(path: Path, **values: object) -> None:
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_a_directory_above_a_model_is_not_one(tmp_path, model):
    with pytest.raises(UserError, match=rf"no config\.json.*did you mean {model}\?"):
        resolve_model(tmp_path)


def test_another_kind_of_model(model):
    change(model / "config.json", model_type="llama")
    with pytest.raises(UserError, match=r"model_type is 'llama', which is not supported; give Whisper, or .* wav2vec2"):
        resolve_model(model)


def test_a_configuration_that_is_not_json(model):
    (model / "config.json").write_text("{oops")
    with pytest.raises(UserError, match=r"config\.json: is not JSON"):
        resolve_model(model)


def test_no_weights(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no weights beside"):
        resolve_model(model)


def test_damaged_weights(model):
    weights = model / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no weights"):
        weights.write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be loaded as a Whisper model"):
            load_recogniser(model)


def test_missing_weights_are_not_drawn_at_random(model):
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights.pop("model.encoder.layer_norm.weight")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing, model\.encoder\.layer_norm\.weight first"):
        load_recogniser(model)


def test_a_ctranslate2_directory_is_converted(converted, tiny_en):
    made = resolve_model(converted)
    assert (made / "model.safetensors").read_bytes() == (tiny_en / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("tokenizer.json", None, r"tokenizer\.json: no such file"),
        ("config.json", {"suppress_ids": None}, r"config\.json: holds no 'suppress_ids'"),
        ("tokenizer.json", {"added_tokens": None}, r"tokenizer\.json: holds no 'added_tokens'"),
        ("tokenizer.json", {"added_tokens": []}, r"tokenizer\.json: holds no '<\|notimestamps\|>'"),
    ],
)
def test_a_ctranslate2_directory_that_lacks_something(converted, tmp_path, name, changes, problem):
    if changes is None:
        (converted / name).unlink()
    else:
        change(converted / name, **changes)
    with pytest.raises(UserError, match=problem) as caught:
        resolve_model(converted)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("models/*"))


def test_languages(model, small_ctc):
    assert languages_of(model) is None and only_language(model) == "en"
    require_language(model, "en")
    with pytest.raises(UserError, match="an English-only model cannot take language 'es'"):
        require_language(model, "es")
    change(model / "generation_config.json", lang_to_id={"<|en|>": 1, "<|es|>": 2})
    assert languages_of(model) == ["en", "es"]
    require_language(model, "es")
    with pytest.raises(UserError, match=r"unknown language 'se' \(choose from en, es\)"):
        require_language(model, "se")
    with pytest.raises(UserError, match="needs a language"):
        only_language(model)
    for own in ("es", "<|es|>", "Spanish"):  # as fine-tuned models name theirs
        change(model / "generation_config.json", lang_to_id={"<|en|>": 1, "<|es|>": 2}, language=own)
        assert only_language(model) == "es"
    change(model / "generation_config.json", lang_to_id={"<|en|>": 1, "<|es|>": 2}, language="Klingon")
    with pytest.raises(UserError, match="needs a language"):
        only_language(model)
    require_language(small_ctc("wav2vec2"), "se")
    for absent in ("whisper-small", "openai/whisper-small", "my/whisper-fine.en"):  # of a dry run
        require_language(Path(absent), "es")
    for absent in ("whisper-small.en", "openai/whisper-small.en"):
        require_language(Path(absent), "en")
        with pytest.raises(UserError, match="English-only"):
            require_language(Path(absent), "es")


def test_licences(small_ctc, tmp_path):
    own = shutil.copytree(small_ctc("wav2vec2"), tmp_path / "own")
    assert licence_of(str(own)) is None and licence_of("whisper-base") == "MIT"
    (own / "README.md").write_text("---\nlicense: apache-2.0\n---\nOurs.\n")
    assert licence_of(str(own)) == "apache-2.0"
    (own / "README.md").write_text("---\nlicense: [\n---\n")
    assert licence_of(str(own)) is None


def test_a_multilingual_model_that_names_no_languages(model):
    change(model / "config.json", vocab_size=51865)
    with pytest.raises(UserError, match=r"generation_config\.json: does not name the languages .* copy that file"):
        languages_of(model)


def test_a_hub_id_that_is_none():
    with pytest.raises(UserError, match="no such file or directory, nor a hub id"):
        resolve_model("my models/whisper")
