"""Recipes of both studies: paths, what takes the place of files that are not there, and mistakes."""

from pathlib import Path

import pytest

from syn2real.documents import Document
from syn2real.errors import UserError
from syn2real.experiments.alignment.recipe import load_alignment
from syn2real.language.safety import judge_named

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.mark.parametrize(
    "path", [RECIPES / f"{name}_smollm2.yaml" for name in ("safeguard", "mergealign")], ids=lambda path: path.stem
)
def test_ours_are_valid_with_and_without_the_public_sets(path, tmp_path):
    assert load_alignment(Document.load(path)).seeds
    # Elsewhere the public sets are not beside the project.
    (tmp_path / "syn2real" / "recipes").mkdir(parents=True)
    (tmp_path / "syn2real" / "data").symlink_to(RECIPES.parent / "data")
    copy = tmp_path / "syn2real" / "recipes" / path.name
    copy.write_text(path.read_text())
    recipe = load_alignment(Document.load(copy))
    assert all(place.exists() and "shared" not in str(place) for place in recipe.safety.harmful)


def test_what_is_not_there_is_replaced_or_named(load, folder):
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        load(safety={"harmful": ["absent.txt"]})
    recipe = load(
        safety={"harmful": ["absent.txt"], "max_tokens": 9}, otherwise={"safety": {"harmful": ["harmful.txt"]}}
    )
    assert recipe.safety.harmful == (folder / "harmful.txt",) and recipe.safety.max_tokens == 9


def test_files_of_a_judge_are_beside_the_recipe(load, folder):
    safety = {"harmful": ["harmful.txt"], "judge_options": {"phrases": "refusals.txt"}}
    options = load(safety=safety).safety.judge_options
    assert options == {"phrases": folder / "refusals.txt"}
    assert judge_named("refusal", **options).refuses("I won't.")
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        load(safety=safety | {"judge_options": {"phrases": "absent.txt"}})


def test_what_takes_the_place_of_a_file_gives_way_to_what_is_set(folder, load):
    otherwise = {"task": {"examples": "task.tsv", "train": 10}}
    load(otherwise=otherwise)
    gone = Document.load(folder / "recipe.yaml", {"safety.harmless": ["absent.txt"], "task.train": 5})
    with pytest.raises(UserError, match=r"absent\.txt: no such file"):
        load_alignment(gone)
    load(task={"examples": "absent.tsv", "train": 12}, otherwise=otherwise)
    recipe = load_alignment(Document.load(folder / "recipe.yaml", {"task.train": 5}))
    assert (recipe.task.examples, recipe.task.train) == (folder / "task.tsv", 5)
    with pytest.raises(UserError, match=r"typo\.tsv: no such file"):
        load_alignment(Document.load(folder / "recipe.yaml", {"task.examples": "typo.tsv"}))


def test_quick_settings_give_way_to_what_is_set(folder, load):
    load(quick={"seeds": [1], "methods": ["linear"], "test.task": 2, "test.harmless": 1})
    document = Document.load(folder / "recipe.yaml", {"test.task": 3})
    recipe = load_alignment(document, quick=True)
    assert (recipe.seeds, recipe.methods, recipe.test.task) == ((1,), ("linear",), 3)
    whole = load_alignment(document)
    assert (recipe.test.harmless, whole.test.harmless, whole.seeds) == (1, 3, (1, 2))
    load()
    with pytest.raises(UserError, match="has no quick settings"):
        load_alignment(Document.load(folder / "recipe.yaml"), quick=True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"safety": {"harmful": []}}, "name at least one file"),
        ({"seeds": [1]}, "model_stock averages"),
        ({"methods": ["linaer"]}, "methods"),
        ({"methods": ["realign"], "before": "x"}, "realign needs the model before it was aligned"),
        ({"baselines": {"decay": {"weight_decay": -1}}}, r"baselines\.decay: weight_decay: Input should be .* to 0$"),
        ({"baselines": {"decay": {"wait_decay": 1}}}, r"baselines\.decay: unknown key 'wait_decay' .did you mean"),
        ({"baselines": {"DPO": {"method": "dpo"}}}, r"baselines\.DPO: method dpo learns from preferences"),
        ({"baselines": {"tuned": {"dropout": 0.1}}}, r"baselines\.tuned: is what the study calls a system"),
        ({"baselines": {"slerp": {"dropout": 0.1}}}, r"baselines\.slerp: is what the study calls a system"),
        ({"task": {"examples": "task.tsv", "tuning": {"method": "dpo"}}}, r"yaml:\d+: task\.tuning: method dpo learns"),
        (
            {"study": "mergealign", "task": {"examples": "task.tsv", "tuning": {"method": "orpo"}}},
            r"task\.tuning: method orpo learns from preferences",
        ),
        (
            {"study": "mergealign", "preferences": {"aligned": {"method": "dpo"}}},
            r"preferences\.aligned: is what the study calls a system",
        ),
        ({"study": "mergealign", "preferences": {"d": {"method": "dop"}}}, r"preferences\.d: method: .*dpo"),
        ({"lamdas": [0.5]}, "did you mean 'lambdas'"),
        (
            {"safety": {"harmful": ["harmful.txt"], "judge_options": {"phrases": 3}}},
            r"recipe\.yaml:\d+: safety\.judge_options: phrases is a file, not 3",
        ),
        (
            {"task": {"examples": "task.tsv", "metric": "rouge", "options": {"kind": 3}}},
            r"recipe\.yaml:\d+: task: metric rouge: kind 3: unknown .choose from",
        ),
        ({"study": "mergealign", "aligned": "x"}, "name an aligned model, or"),
        ({"study": "mergealign", "preferences": {"d": {"method": "sft"}}}, "dpo or orpo"),
    ],
)
def test_mistakes_are_named(load, changes, problem):
    with pytest.raises(UserError, match=problem):
        load(**changes)


def test_what_is_taught_are_replies(load):
    teach = load().teach.model_dump(mode="json")
    with pytest.raises(UserError, match=r"recipe\.yaml:\d+: teach\.tuning: method dpo learns from preferences"):
        load(teach=teach | {"tuning": {"method": "dpo"}})
