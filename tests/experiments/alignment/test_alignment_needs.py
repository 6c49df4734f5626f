"""What would fail hours later is said before anything is made, in a dry run and by --check too."""

import json

import pytest
from typer.testing import CliRunner

from syn2real.cli.alignment import plan_alignment, run_alignment
from syn2real.cli.main import app
from syn2real.errors import UserError
from syn2real.experiments.alignment.needs import needs
from syn2real.language.safety import JUDGES
from syn2real.language.safety.judge import require_judge

TESTED = {"prompt": "def add(a, b):\n", "entry_point": "add", "tests": "assert add(1, 2) == 3"}
CODE = {"examples": "task.tsv", "train": 4, "asked": "asked.jsonl", "metric": "pass_at_k"}


def judged(**safety) -> dict:
    return {"safety": {"harmful": ["harmful.txt"]} | safety}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (judged(judge="refusl"), "did you mean 'refusal'"),
        (judged(judge_options={"model": "m"}), "judge 'refusal' takes no option 'model'"),
        (judged(judge="wildguard", judge_options={"template": None}), "judge wildguard: is asked with a text"),
        (judged(judge="wildguard", judge_options={"name": "x"}), "judge 'wildguard' takes no option 'name'"),
        (judged(judge="chat", judge_options={"per_minute": "few"}), "judge chat: per_minute is a number, not 'few'"),
        (judged(judge="wildguard"), r"judge wildguard: is asked with a text .* judge_options\.template"),
        (judged(judge="wildguard", judge_options={"template": "refusals.txt"}), r"has no \{prompt\}"),
        (judged(judge="llama-guard-3", judge_options={"model": "./nowhere"}), "nowhere: no such file"),
        (judged(judge="chat", judge_options={"model": "smolm2-135m"}), "did you mean 'smollm2-135m'"),
        (judged(judge="chat", judge_options={"model": "server:m"}), "needs an address"),
        ({"task": CODE, "test": {"harmful": 1, "harmless": 0, "task": 2}}, "allow_code: true"),
        ({"task": {"examples": "task.tsv", "metric": "pass_at_k", "options": {"allow_code": True}}}, "has no tests"),
        ({"bias": {"cases": "harmful.txt", "scorer": "vadr"}}, "did you mean 'vader'"),
        ({"bias": {"cases": "harmful.txt", "scorer_options": {"mode": 1}}}, "scorer 'vader' takes no option 'mode'"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(load, folder, tmp_path, changes, problem):
    (folder / "asked.jsonl").write_text(
        "".join(json.dumps(TESTED | {"prompt": f"# {n}\n{TESTED['prompt']}"}) + "\n" for n in range(8))
    )
    recipe = load(**changes)
    for begin in (plan_alignment, run_alignment):
        with pytest.raises(UserError, match=problem):
            begin(recipe, tmp_path / "run")
    assert not list((tmp_path / "run").glob("stages/*-*"))
    with pytest.raises(UserError, match=problem):
        CliRunner().invoke(app, ["run", str(folder / "recipe.yaml"), "--check"], catch_exceptions=False)


def test_what_is_right_passes(load, folder):
    (folder / "card.txt").write_text("{prompt} {response}")
    load(safety={"harmful": ["harmful.txt"], "judge": "wildguard", "judge_options": {"template": "card.txt"}})
    result = CliRunner().invoke(app, ["run", str(folder / "recipe.yaml"), "--check"], catch_exceptions=False)
    assert result.exit_code == 0 and "valid" in result.stderr


def test_the_model_that_scores_answers_is_fetched_beforehand(load, chat_llama, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def needed(model):
        scoring = {"scorer": "toxicity", "scorer_options": {"model": model}}
        return needs(load(bias={"cases": "harmful.txt"} | scoring))

    assert needed("org/regard-0.5b") == [{"what": "org/regard-0.5b", "kind": "model", "bytes": 1_000_000_000}]
    assert needed(str(chat_llama)) == []


def test_of_a_judge_of_ones_own_the_options_are_known(monkeypatch):
    class Own:
        def __init__(self, strict: bool = False) -> None:
            raise AssertionError("is not to be made")

    monkeypatch.setitem(JUDGES._items, "own", Own)
    require_judge("own", strict=True)
    with pytest.raises(UserError, match="judge 'own' takes no option 'stric'"):
        require_judge("own", stric=True)
