"""A recipe is refused whole, with file, line and remedy, before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from syn2real.errors import UserError
from syn2real.experiments.grid_recipe import load_grid
from syn2real.experiments.pipeline import Pipeline
from syn2real.experiments.recipe import SynthesisRecipe, load_recipe
from syn2real.experiments.stages import Workspace
from syn2real.experiments.studies import load_study
from syn2real.speech.corpus import Sentence

GOOD = """\
model: whisper-tiny.en
corpus:
  manifest: data/manifest.jsonl
target: [music]
training:
  epochs: 2
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_recipe(tmp_path, monkeypatch):
    assert load_recipe(write(tmp_path, GOOD)).corpus.manifest == tmp_path / "data/manifest.jsonl"
    monkeypatch.chdir(tmp_path)  # and absolute: a report's recipe runs from anywhere
    assert load_recipe(Path("recipe.yaml")).corpus.manifest == tmp_path / "data/manifest.jsonl"
    write(tmp_path, GRID)
    assert load_grid(Path("recipe.yaml")).corpus.manifest == tmp_path / "m.jsonl"


def test_so_are_those_of_voices_checks_and_noises(tmp_path):
    given = {
        "voices": ["piper:./own.onnx#3", "espeak:en"],
        "check": {"by": "recogniser", "recogniser": "./judge"},
        "options": {"bark": {"model": "../bark"}},
    }
    placed = SynthesisRecipe.model_validate(given).placed(tmp_path)
    assert placed.voices == [f"piper:{tmp_path}/own.onnx#3", "espeak:en"]
    assert placed.check is not None and placed.check.recogniser == f"{tmp_path}/judge"
    assert placed.options == {"bark": {"model": f"{tmp_path}/../bark"}}
    plain = SynthesisRecipe.model_validate({"check": {"by": "recogniser", "recogniser": "whisper-base"}})
    assert plain.placed(tmp_path) == plain and SynthesisRecipe().placed(tmp_path) == SynthesisRecipe()
    (tmp_path / "grid.yaml").write_text(
        "study: grid\nmodels: [whisper-base]\nlanguage: en\ncorpus: {manifest: m.jsonl, train: {split: train}, "
        "test: {split: test}}\naugmentation: [{transform: background, source: ./noises}]\n"
    )
    assert load_grid(tmp_path / "grid.yaml").augmentation == [
        {"transform": "background", "source": f"{tmp_path}/noises"}
    ]


def test_overrides_reach_into_sections(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), {"training.epochs": "1", "synthesis.seed": "7"})
    assert (recipe.training.epochs, recipe.synthesis.seed) == (1, 7)


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("epochs: 2", "epoch: 2"), 6, "did you mean 'epochs'?"),
        (("epochs: 2", "epochs: many"), 6, "training.epochs"),
        (("model:", "modle:"), 1, "unknown key 'modle' (did you mean 'model'?)"),
        (("[music]", "[]"), None, "name at least one domain"),
        (("[music]", "[music]\nheld_out: [music]"), None, "real speech may not be used"),
        (("[music]", "[music]\nlambdas: [0.5]"), None, "must contain 0"),
        (("[music]", "[music]\nsum: choose\nscale: 0.5"), None, "`choose` chooses λ too"),
        (("[music]", "[music]\nsum: average\nscale: 1.3"), None, "from 0 to 1; not 1.3"),
        (("[music]", "[music]\nsum: average\nlambdas: [0, 1.3]"), None, "give some above 0 and up to 1"),
        (("[music]", "[music]\nsum: mean"), 5, "sum: Input should be"),
        (("[music]", "music"), 4, "target: write a list, as [music]"),
        (("[music]", "[music"), 5, ""),
    ],
)
def test_faults_name_file_and_line(tmp_path, change, line, words):
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}:" if line else f"{path}:")
    assert words in message
    assert "\n" not in message


GRID = """\
study: grid
models: [whisper-tiny.en]
corpus: {manifest: m.jsonl, train: {split: train}, test: {split: test}}
"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scale.by": "fixed"}, "unknown key 'scale' (did you mean 'lambda'?)"),
        ({"lamda.by": "fixed"}, "unknown key 'lamda' (did you mean 'lambda'?)"),
        ({"lambda.gird": "[0]"}, "unknown key 'lambda.gird' (did you mean 'grid'?)"),
        ({"lambda.by": "fixed"}, ": lambda: `fixed` gives the value"),
        ({"targets": "topic4"}, "targets: write a list, as [topic4]"),
    ],
)
def test_faults_of_a_grid_name_keys_as_a_recipe_writes_them(tmp_path, given, words):
    with pytest.raises(UserError) as caught:
        load_grid(write(tmp_path, GRID), given)
    assert words in str(caught.value)


def test_a_recipe_says_of_what_it_is(tmp_path):
    assert load_study(write(tmp_path, GOOD)).study == "syn2real"
    with pytest.raises(
        UserError, match=r"unknown key 'models' .*; read as `study: syn2real`, .* no other: grid, vector"
    ):
        load_study(write(tmp_path, GOOD.replace("model: whisper-tiny.en", "models: [whisper-tiny.en]")))
    with pytest.raises(UserError, match=r"recipe.yaml:1: study: no kind 'gird' \(did you mean 'grid'\?\)"):
        load_study(write(tmp_path, "study: gird\n" + GOOD))
    with pytest.raises(UserError, match=r"no kind 'talk' \(choose from bias, grid, mergealign, safeguard, syn2real"):
        load_study(write(tmp_path, "study: talk\n" + GOOD))


def test_a_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no-such"):
        load_recipe(tmp_path / "no-such.yaml")


def test_a_check_is_named_or_spelt_out(tmp_path):
    plain = load_recipe(write(tmp_path, GOOD)).synthesis
    assert plain.check is None
    named = load_recipe(write(tmp_path, GOOD), {"synthesis.check": "recogniser"}).synthesis.check
    spelt = load_recipe(write(tmp_path, GOOD), {"synthesis.check.by": "recogniser"}).synthesis.check
    assert named == spelt and named is not None and named.by == "recogniser"
    for value, words in (
        ("ears", "'signal', 'recogniser' or 'none'"),
        ("{limits: {pauze: 2}}", "did you mean 'pause'"),
        ("{recogniser: whisper-base}", "is heard only with by: recogniser"),
    ):
        with pytest.raises(UserError, match=words):
            load_recipe(write(tmp_path, GOOD), {"synthesis.check": value})


def test_only_a_check_that_is_asked_for_is_part_of_the_key(tmp_path):
    """Studies spoken before there were checks are still found."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    pipeline = Pipeline.of(Workspace(tmp_path, dry=True), base, "en")
    sentences = [Sentence("a", "hello there")]

    def key(**values: Any) -> str:
        return pipeline.speak(sentences, SynthesisRecipe(**values), 1, "speech").key

    assert key().startswith("0ecba82aa2a7")  # of SYNTHESIS_VERSION 2
    checks = [None, "signal", "none", "recogniser", {"by": "recogniser", "recogniser": "whisper-base"}]
    checks += [{"limits": {"pause": 3}}, {"by": "recogniser", "recogniser": str(base)}]
    keys = [key(check=check) for check in checks]
    assert keys[0] == key() and len(set(keys)) == 6  # the study's own model, named or not, is one
    assert keys[3] == keys[6]
