"""Every merge recipe that comes with the project runs."""

from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.merge import Checkpoint, write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "merge").glob("*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_it_runs_on_models_of_ours(file, make, tmp_path):
    plain = load_recipe(file)
    places = {name: str(make(name.replace("/", "_"), seed)) for seed, name in enumerate(plain.paths)}
    out = write(plan_recipe(plain.with_paths(places)), tmp_path / "out")
    assert len(Checkpoint.open(out)) == 6


def test_keys_can_be_overridden_wherever_they_stand():
    ties = load_recipe(Path(RECIPES[0]).with_name("ties.yaml"), {"models.1.model": "x", "parameters.scale": "0.5"})
    assert ties.paths == ["base", "first", "x"] and ties.parameters["scale"] == 0.5
    for key in ("models.7.model", "models.x.model", "method.deep"):
        with pytest.raises(UserError, match="--set"):
            load_recipe(Path(RECIPES[0]).with_name("ties.yaml"), {key: "1"})
