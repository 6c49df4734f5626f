"""Searching coefficients: the best is found, kept and not searched for twice."""

import json
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.merge import Checkpoint
from syn2real.merge.recipe import parse_recipe
from syn2real.merge.search import Span, command_score, search

pytest.importorskip("optuna")
NAME = "model.layers.0.fc1.weight"


@pytest.fixture
def problem(make):
    """Interpolating a and b, where 0.3 is best."""
    a, b = make("a", 1), make("b", 2)
    first, second = Checkpoint.open(a), Checkpoint.open(b)
    best = first.read(NAME) * 0.7 + second.read(NAME) * 0.3
    recipe = parse_recipe(method="prepost", base=str(a), models=[{"model": str(b)}], parameters={"scale": 0.5})

    def score(model: Path) -> float:
        return float((Checkpoint.open(model).read(NAME) - best).square().sum())

    return recipe, score


@pytest.mark.parametrize("sampler", ["grid", "tpe", "cmaes"])
def test_the_best_is_found_and_written(problem, tmp_path, sampler):
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    recipe, score = problem
    spans = [Span.parse("parameters.scale=0:1:11")]
    trials = search(recipe, spans, score, tmp_path / "search", sampler=sampler, trials=25)
    best = min(trials, key=lambda trial: trial.score)
    assert len(trials) == (11 if sampler == "grid" else 25)
    assert abs(best.values["parameters.scale"] - 0.3) < (1e-9 if sampler == "grid" else 0.1)
    assert score(tmp_path / "search" / "model") == best.score
    assert len(json.loads((tmp_path / "search" / "trials.json").read_text())) == len(trials)
    assert not (tmp_path / "search" / ".trial").exists()


def test_a_stopped_search_goes_on(problem, tmp_path):
    recipe, score = problem
    seen = []

    def interrupted(model: Path) -> float:
        seen.append(model)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return score(model)

    spans = [Span.parse("parameters.scale=0:1")]
    with pytest.raises(KeyboardInterrupt):
        search(recipe, spans, interrupted, tmp_path / "search", trials=6)
    trials = search(recipe, spans, interrupted, tmp_path / "search", trials=6)
    scored = [trial for trial in trials if trial.score is not None]
    assert len({trial.values["parameters.scale"] for trial in scored}) == len(scored) >= 5
    with pytest.raises(UserError, match="another search"):
        search(recipe, [Span.parse("parameters.scale=0:2")], score, tmp_path / "search")


def test_failures_are_kept_in_the_table(problem, tmp_path):
    recipe, _ = problem
    command = command_score("test -d {model} && echo no && false")
    with pytest.raises(UserError, match="none of 2 trials could be scored: the scoring command ended with status 1"):
        search(recipe, [Span.parse("parameters.scale=0:1:2")], command, tmp_path / "search", sampler="grid")
    for bad in ("scale", "parameters.scale=1:0", "parameters.scale=a:b", "parameters.scale=0:1:1"):
        with pytest.raises(UserError, match="--range"):
            Span.parse(bad)
    with pytest.raises(UserError, match="no such key"):
        search(recipe, [Span("modles.0.weight", 0, 1)], command, tmp_path / "other")


def test_what_a_command_prints(tmp_path):
    assert command_score("echo '{\"wer\": 0.25}' # {model}")(tmp_path) == 0.25
    assert command_score("echo errors 3 of 12, WER 25.0 # {model}")(tmp_path) == 25.0
    with pytest.raises(UserError, match="no number"):
        command_score("echo none # {model}")(tmp_path)
    with pytest.raises(UserError, match="model"):
        command_score("true")
