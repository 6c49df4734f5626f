"""The recipes that ship: each is valid, and SLURP's run on data laid out as SLURP's."""

import json
from pathlib import Path

import pytest
import soundfile

from syn2real.cli.study import plan_grid, run_grid
from syn2real.experiments.grid_recipe import GridRecipe
from syn2real.experiments.output import RESULTS
from syn2real.experiments.studies import load_study
from syn2real.speech.corpora import import_slurp

RECIPES = Path(__file__).parents[2] / "recipes"
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "slurp"
SCENARIOS = ("cooking", "music", "social", "weather")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_valid(path):
    assert load_study(path, absent=True).title


@pytest.fixture(scope="module")
def slurp(tmp_path_factory) -> Path:
    """SLURP's published sentences of four scenarios, spoken by espeak-ng under its recordings' names, imported."""
    if not (PUBLISHED / "devel.jsonl").is_file():
        pytest.skip("needs SLURP's published texts")
    pytest.importorskip("espeakng_loader")
    from syn2real.speech.engines import engine

    espeak = engine("espeak")
    voices = espeak.voices("en")
    folder = tmp_path_factory.mktemp("published")
    (folder / "slurp_real").mkdir()
    published = [json.loads(line) for line in (PUBLISHED / "devel.jsonl").read_text().splitlines()]
    ranked = {name: [row for row in published if row["scenario"] == name] for name in SCENARIOS}
    for place, split in enumerate(("train", "devel", "test")):
        rows = [row for name in SCENARIOS for row in ranked[name][2 * place : 2 * place + 2]]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for row in rows:
            sound = espeak.speak(row["sentence"], voices[0], 1.0, 1.0, 0)
            soundfile.write(folder / "slurp_real" / row["recordings"][0]["file"], *sound)
    corpus = tmp_path_factory.mktemp("slurp") / "corpus"
    import_slurp(corpus, folder)
    return corpus / "manifest.jsonl"


def study(name: str, slurp: Path, model: Path | None, **changes: str) -> GridRecipe:
    values = {"corpus.manifest": str(slurp), "models": f"['{model}']", "targets": "[cooking, music]"}
    values |= {"synthesis.target_renditions": "1", "synthesis.source_renditions": "1", "evaluation.elsewhere": "4"}
    values |= {"evaluation.draws": "100", "lambda.grid": "[0, 1]", "seeds": "[0]", "training.batch_size": "4"}
    recipe = load_study(RECIPES / f"{name}.yaml", values | changes)
    assert isinstance(recipe, GridRecipe)
    return recipe


def test_the_small_study_of_slurp(slurp, terse_whisper, tmp_path):
    voices = {"synthesis.engines": "{espeak: 1}", "training.epochs": "1"}
    recipe = study("slurp_small_gpu", slurp, terse_whisper, **voices)
    plan = plan_grid(recipe, tmp_path / "run")
    assert plan["cells"] == 2 and plan["seconds"] > 0 and not (tmp_path / "run").exists()
    record = run_grid(recipe, tmp_path / "run")
    assert [(cell["target"], cell["status"]) for cell in record["cells"]] == [("cooking", "done"), ("music", "done")]
    assert record["data"]["targets"]["music"]["test_clips"] == 2
    assert {row["system"] for row in record["lambdas"]} == {"syn2real"}
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {RESULTS, "report.html", "report.md", "systems.csv", "lambda.png"} <= written
    assert json.loads((tmp_path / "run" / RESULTS).read_text())["comparison"]["groups"]
    done = plan_grid(recipe, tmp_path / "run")
    # Which λ is chosen a plan cannot know; all that is spoken and trained it does.
    assert {row["name"] for row in done["stages"] if not row["done"]} <= {"hypotheses"}


@pytest.mark.parametrize("name", ["slurp_small_gpu", "slurp_paper"])
def test_a_plan_fetches_no_model(name, slurp, tmp_path, monkeypatch):
    """SLURP's studies with their own models, which are on the hub."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    recipe = study(name, slurp, None, **{"synthesis.engines": "{espeak: 1}", "engines": "{}", "folds": "[]"})
    recipe = recipe.model_copy(update={"models": load_study(RECIPES / f"{name}.yaml", absent=True).models})
    plan = plan_grid(recipe, tmp_path / "run")
    assert plan["seconds"] > 0 and not (tmp_path / "run").exists() and not (tmp_path / "hub").exists()
    larger = plan_grid(recipe.model_copy(update={"models": ("whisper-medium.en",)}), tmp_path / "run")
    assert larger["seconds"] > 2 * plan["seconds"]


def test_what_holds_something_else_is_left_alone(slurp, terse_whisper, tmp_path):
    from syn2real.errors import UserError

    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds something else"):
        run_grid(study("slurp_small_gpu", slurp, terse_whisper), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
