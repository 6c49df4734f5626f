"""Options given to engines: by recipes, by the command line, to every worker process, and in the keys of results."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.experiments.pipeline import Pipeline, require_voices
from syn2real.experiments.recipe import SynthesisRecipe
from syn2real.experiments.stages import Stage, Workspace
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import by_content, engine, options_from, read_options
from syn2real.speech.engines.options import voices_by_content
from syn2real.speech.engines.prompts import read_prompts
from syn2real.speech.synthesis import SynthesisSettings, synthesize

SENTENCES = [Sentence(f"s{number}", f"the {word} train") for number, word in enumerate(("first", "next", "last"))]


@pytest.fixture
def vits(vits_model):
    return {"vits": {"model": str(vits_model), "language": "en"}}


def test_every_worker_has_them(vits, tmp_path):
    settings = SynthesisSettings(engines=("vits",), options=vits, renditions=2, seed=4)
    alone = synthesize(SENTENCES, settings, tmp_path / "alone", workers=1)
    both = synthesize(list(reversed(SENTENCES)), settings, tmp_path / "both", workers=2)
    said = {u.id: (u.audio_filepath.read_bytes(), u.voice) for u in alone}
    assert said == {u.id: (u.audio_filepath.read_bytes(), u.voice) for u in both}
    assert {voice for _, voice in said.values()} <= {"model-0", "model-1", "model-2"}


def test_a_directory_of_other_options_is_not_taken_up(vits, tmp_path):
    settings = SynthesisSettings(engines=("vits",), options=vits)
    synthesize(SENTENCES[:1], settings, tmp_path / "spoken")
    (tmp_path / "spoken" / "manifest.jsonl").unlink()
    other = replace(settings, options={"vits": {**vits["vits"], "licence": "CC0-1.0"}})
    with pytest.raises(UserError, match="other licences, settings"):
        synthesize(SENTENCES[:1], other, tmp_path / "spoken")


def test_weights_are_looked_for_before_anything_is_spoken(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    settings = SynthesisSettings(engines=("espeak", "bark"), renditions=8)
    with pytest.raises(UserError, match="engine 'bark': suno/bark"):
        synthesize(SENTENCES, settings, tmp_path, workers=1)
    assert not list(tmp_path.iterdir())


def test_a_study_can_be_planned_without_weights():
    for name in ("bark", "speecht5"):
        require_voices(SynthesisRecipe(engines={name: 1.0}), "en")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"barkk": {}}, "unknown engine 'barkk' .did you mean 'bark'"),
        ({"bark": {"modle": "x"}}, "engine 'bark': unknown key 'modle' .did you mean 'model'"),
        ({"speecht5": {"xvectors": "./none"}}, "engine 'speecht5': xvectors ./none: no such file"),
        ({"speecht5": {"model": {"a": "b"}}}, "must be a text"),
    ],
)
def test_a_study_is_refused_before_anything_is_trained(options, problem):
    with pytest.raises(UserError, match=problem):
        require_voices(SynthesisRecipe(engines={"speecht5": 1.0}, options=options), "en")


def test_non_commercial_voices_are_refused_where_commercial_ones_are_wanted(vits):
    recipe = SynthesisRecipe(engines={"vits": 1.0}, options=vits, commercial_only=True)
    with pytest.raises(UserError, match=r"engine 'vits' has no voice free for commercial use .licences: unknown"):
        require_voices(recipe, "en")
    mine = {"vits": {**vits["vits"], "licence": "ours", "commercial": True}}
    require_voices(recipe.model_copy(update={"options": mine}), "en")


class TestKeys:
    @staticmethod
    def key(tmp_path, **recipe) -> str:
        pipeline = Pipeline(Workspace(tmp_path, dry=True), Stage("base", "k", tmp_path), "en")
        return pipeline.speak(SENTENCES, SynthesisRecipe(**recipe), 1, "").key

    def test_without_options_are_what_they_were(self, tmp_path):
        plain = self.key(tmp_path)
        assert plain == "57fb84d9cf449d61b43a915391d75a9288d11336d430d3ba53d2dddcb55f1ece"
        assert plain == self.key(tmp_path, options={}) == self.key(tmp_path, options={"bark": {"presets": True}})

    def test_go_by_what_is_in_a_folder_and_not_by_where_it_is(self, tmp_path, vits):
        given = vits["vits"]
        copy = shutil.copytree(given["model"], tmp_path / "copy")
        keys = [
            self.key(tmp_path, engines={"vits": 1.0}, options={"vits": {**given, "model": str(place)}})
            for place in (given["model"], copy)
        ]
        assert keys[0] == keys[1] != self.key(tmp_path, engines={"vits": 1.0}, options={"vits": {"language": "en"}})
        (copy / "more.txt").write_text("changed")
        moved = copy.rename(tmp_path / "changed")  # hashes are kept as long as a process lives
        assert by_content({"model": str(moved)}) != by_content({"model": given["model"]})

    def test_a_word_is_no_folder_of_the_same_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "es").mkdir()
        assert by_content({"language": "es", "model": "org/model"}) == {"language": "es", "model": "org/model"}

    def test_go_by_what_the_file_of_a_voice_holds(self, tmp_path):
        (tmp_path / "voice.onnx").write_bytes(b"one")
        (tmp_path / "other.onnx").write_bytes(b"two")
        first, second = f"piper:{tmp_path / 'voice.onnx'}#3", f"piper:{tmp_path / 'other.onnx'}"
        found = voices_by_content([first, second, "espeak:en-US"])
        assert set(found) == {first, second} and found[first] != found[second]

    def test_go_by_the_recordings_that_a_manifest_names(self, recordings, tmp_path):
        for place in ("a", "b", "c"):
            shutil.copytree(recordings.parent, tmp_path / place)
        clips = [prompt.path for prompt in read_prompts(tmp_path / "c" / recordings.name).values()]
        shutil.copyfile(clips[1], clips[0])
        same, moved, other = (by_content({"speakers": str(tmp_path / n / recordings.name)}) for n in ("a", "b", "c"))
        assert same == moved != other


def test_paths_are_relative_to_the_recipe():
    given = {"speecht5": {"model": "./weights", "xvectors": "../x.npz", "vocoder": "org/model", "language": "en"}}
    placed = options_from(given, Path("recipes"))["speecht5"]
    assert os.path.normpath(placed["model"]) == "recipes/weights" and os.path.normpath(placed["xvectors"]) == "x.npz"
    assert (placed["vocoder"], placed["language"]) == ("org/model", "en")


def test_read_from_the_command_line():
    assert read_options(["bark.presets=true", "vits.model=./a=b", "vits.language=en"]) == {
        "bark": {"presets": True},
        "vits": {"model": "./a=b", "language": "en"},
    }
    for wrong in ("bark", "bark.model", "model=x", ".model=x"):
        with pytest.raises(UserError, match=r"write ENGINE.OPTION=VALUE"):
            read_options([wrong])
    with pytest.raises(UserError, match="is not YAML"):
        read_options(["bark.model=[x"])


def test_engines_with_other_options_are_other_engines(vits_model):
    one = engine("vits", {"model": str(vits_model), "language": "en"})
    assert one is engine("vits", {"language": "en", "model": str(vits_model)})
    assert one is not engine("vits", {"model": str(vits_model), "language": "de"})
