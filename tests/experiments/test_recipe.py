"""A recipe is refused whole, with file, line and remedy, before anything runs."""

from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.experiments.recipe import load_recipe

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


def test_paths_are_relative_to_the_recipe(tmp_path):
    assert load_recipe(write(tmp_path, GOOD)).corpus.manifest == tmp_path / "data/manifest.jsonl"


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


def test_a_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no-such"):
        load_recipe(tmp_path / "no-such.yaml")
