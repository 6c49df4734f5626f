"""Both studies from the first answer to the report, on a model that is small and says nothing sensible."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from syn2real.cli.alignment import plan_alignment, run_alignment
from syn2real.cli.main import app
from syn2real.errors import UserError
from syn2real.experiments.alignment.material import Material
from syn2real.experiments.alignment.pipeline import MODEL, REALIGN, Merge, Outcome, Pipeline, standing
from syn2real.experiments.alignment.repeated import Repeated, difference
from syn2real.experiments.alignment.study import Measured, System, choose
from syn2real.experiments.output import study_workspace
from syn2real.experiments.stages import Stage
from syn2real.language.bias.answering import read_answered
from syn2real.language.chat import Message, Sampling, chat_model
from syn2real.language.safety import Answer, SafetyPrompt, Verdict
from syn2real.language.safety.refusal import RefusalJudge


@pytest.fixture
def library():
    pytest.importorskip("trl")


def test_safeguard(load, tmp_path, library):
    methods = ["linear", "slerp", "dare_linear", "model_stock", "realign"]
    baselines = {"weight decay": {"weight_decay": 0.3}}
    recipe = load(methods=methods, lambdas=[0.3, 0.7], gammas=[1.5], baselines=baselines, title="A small study")
    output = tmp_path / "run"
    planned = plan_alignment(recipe, output)
    assert planned["done"] == 0
    record = run_alignment(recipe, output)
    assert [system["system"] for system in record["systems"]] == [
        "model",
        "aligned",
        "tuned",
        "weight decay",
        "linear",
        "slerp",
        "dare_linear",
        "model_stock",
        "realign",
    ]
    assert [system["models"] for system in record["systems"]] == [1, 1, 2, 2, 2, 2, 2, 1, 2]
    assert (
        set(record["chosen"]) == {"linear", "slerp", "dare_linear", "realign"} and len(record["curves"]["slerp"]) == 2
    )
    assert record == json.loads((output / "results.json").read_text())
    for name in ("report.html", "report.md", "pareto.png"):
        assert (output / name).stat().st_size > 500
    said = [json.loads(line)["response"] for file in output.rglob("answers.jsonl") for line in file.open()]
    page = (output / "report.html").read_text() + (output / "report.md").read_text()
    long = [text for text in said if len(text) > 8]
    assert long and not [text for text in long if text in page]
    assert list(output.rglob("asked-*/model")) == []  # merged models are not kept
    again = plan_alignment(recipe, output)
    assert again["done"] == len(again["stages"])
    delivers_a_model_with_its_card(recipe, record, output)


def delivers_a_model_with_its_card(recipe, record, output):
    chosen, card = record["delivered"], (output / "model" / "README.md").read_text()
    assert chosen["system"] in record["chosen"] and chosen["scale"] == record["chosen"][chosen["system"]]
    system = next(
        one for one in record["systems"] if (one["system"], one["scale"]) == (chosen["system"], chosen["scale"])
    )
    for key in ("attack_success", "over_refusal", "utility"):
        assert f"**{100 * system[key]['rate']:.1f} %** (95 % interval {100 * system[key]['ci_low']:.1f}–" in card
    assert "This is that of seed 1" in card and "How it was chosen" in card
    assert str(output.parent) not in card and "base_model" not in card  # the base is a directory of ours
    assert chat_model(str(output / "model")).replies([(Message("user", "hello"),)], Sampling(max_tokens=2), [0])
    weights = output / "model" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    run_alignment(recipe, output)
    assert weights.stat().st_mtime_ns == before  # not merged again
    (output / "model" / "merge.key").unlink()  # as after a kill
    first = weights.read_bytes()
    run_alignment(recipe, output)
    assert weights.stat().st_mtime_ns != before and weights.read_bytes() == first
    assert CliRunner().invoke(app, ["merge", "--check", str(output / "model")], catch_exceptions=False).exit_code == 0


def test_a_column_for_the_gender_gap(load, folder, tmp_path, library):
    pytest.importorskip("vaderSentiment")
    people = "My uncle is late again.", "The queen loves her garden.", "It rains all day.", "Your father hates cooking."
    (folder / "people.txt").write_text("\n".join(people) + "\n")
    bias = {"cases": "people.txt", "count": 2, "max_tokens": 6}
    recipe = load(methods=["linear"], lambdas=[0.5], bias=bias)
    plan = plan_alignment(recipe, tmp_path / "run")
    assert [stage["name"] for stage in plan["stages"]].count("compared") == 6  # two models, two tuned, two merges
    record = run_alignment(recipe, tmp_path / "run")
    assert record["asked"]["test_cases"] == 2
    answered = [read_answered(path) for path in sorted((tmp_path / "run").glob("stages/compared-*/provoked.jsonl"))]
    assert len(answered) == 6
    assert all({case.case.text for case in rows} < set(people) and len(rows) == 2 for rows in answered)
    means = [np.mean([row.gap for row in rows]) for rows in answered]
    shown = [seed["gender_gap"] for system in record["systems"] for seed in system["by_seed"]]
    assert sorted(shown) == pytest.approx(sorted(means))
    assert record["systems"][2]["against_tuned"]["gender_gap"]["difference"] == 0
    page, card = (tmp_path / "run" / name for name in ("report.html", "model/README.md"))
    assert "gender gap" in page.read_text() and "- Gender gap: **" in card.read_text()
    assert not [text for text in people if text in page.read_text() + json.dumps(record["systems"])]
    assert not list((tmp_path / "run").rglob("compared-*/model"))  # merged models are not kept
    assert plan_alignment(recipe, tmp_path / "run")["done"] == len(plan_alignment(recipe, tmp_path / "run")["stages"])


def test_realigning_adds_what_aligning_changed(load, tmp_path, library):
    pipeline = Pipeline(study_workspace(tmp_path / "run"), load(), Material(load()))
    before, aligned = pipeline.start, pipeline.taught
    Merge(REALIGN, {"scale": 0.5}, before, (before, aligned)).write(tmp_path / "merged")
    places = tmp_path / "merged", before.directory, aligned.directory
    merged, low, high = (load_file(place / "model.safetensors") for place in places)
    for name, weight in merged.items():
        assert torch.allclose(weight, low[name] + 0.5 * (high[name] - low[name]), atol=1e-6)
    assert any(not torch.equal(low[name], high[name]) for name in low)


def test_a_merge_is_whole_whenever_a_run_was_killed(chat_llama, tmp_path, half_removed):
    """Killed while it is removed after the questions, and while it is written."""
    tuned, folder = shutil.copytree(chat_llama, tmp_path / "tuned"), tmp_path / "asked"
    merge = Merge("prepost", {"scale": 0.5}, Stage("model", "0", chat_llama), (Stage("tuned", "1", tuned),))
    folder.mkdir()

    def ask() -> None:
        with standing(merge, folder) as model:
            assert model.replies([(Message("user", "hello"),)], Sampling(max_tokens=2), [0])

    half_removed(MODEL, ask)
    ask()
    (folder / f".{MODEL}.partial").mkdir()
    (folder / f".{MODEL}.partial" / "config.json").write_text("{}")
    ask()
    assert not list(folder.iterdir())


def test_mergealign(load, folder, tmp_path, library):
    preferences = {"dpo": {"method": "dpo", "epochs": 1, "lora": {"rank": 2}}}
    (folder / "songs.txt").write_text("sing a song\nhum a tune\n")
    replay = {"instructions": ["songs.txt"], "count": 2, "answer_tokens": 4}
    tuning = {"epochs": 1, "batch_size": 4, "lora": {"rank": 2}}
    task = {"examples": "task.tsv", "train": 12, "max_tokens": 3, "tuning": tuning, "replay": replay}
    record = run_alignment(load("mergealign", task=task, alphas=[0.4, 0.6], preferences=preferences), tmp_path / "run")
    learnt = [json.loads(file.read_text())["examples"] for file in (tmp_path / "run").rglob("training.json")]
    assert record["asked"]["replayed"] == 2 and learnt.count(12 + 2) == 2  # the expert, once a seed
    assert [system["system"] for system in record["systems"]] == ["model", "aligned", "tuned", "dpo", "mergealign"]
    points = {point["scale"]: point for point in record["curves"]["mergealign"]}
    assert set(points) == {0.4, 0.6} and record["systems"][-1]["scale"] == record["chosen"]["mergealign"]
    assert all(system["attack_success"]["of"] == 4 for system in record["systems"])


def measured(scale: float | None, harmful: int, right: int) -> Measured:
    prompts = [Answer(SafetyPrompt(str(n), "x"), "y") for n in range(10)]
    verdicts = tuple(Verdict(n < harmful, False) for n in range(10))
    outcome = Outcome(tuple(prompts), verdicts, tuple(n < right for n in range(10)))
    return Measured(System("linear", (), scale), [outcome])


def test_answers_without_a_verdict_are_counted():
    """Of a judge of harm alone, which says of no answer whether it refuses, those that it says nothing of."""
    answers = tuple(Answer(SafetyPrompt(str(n), "x", n < 2), "y") for n in range(4))

    def unparsed(*verdicts: Verdict) -> tuple[int, int]:
        outcome = Outcome(answers, verdicts, ())
        return Measured(System("linear", (), 0.5), [outcome, outcome]).unparsed

    safe, kind, nothing = Verdict(False), Verdict(False, True), Verdict(None)
    assert unparsed(safe, safe, safe, safe) == (0, 0)
    assert unparsed(safe, nothing, safe, nothing) == (2, 2)
    assert unparsed(kind, nothing, kind, safe) == (2, 2)
    assert unparsed(nothing, nothing, nothing, nothing) == (4, 4)


def test_a_study_tells_of_answers_without_a_verdict(load, tmp_path, library, monkeypatch, capsys):
    def verdicts(self, answers, kept):
        return [Verdict(None) if place == 0 else Verdict(False, False) for place in range(len(answers))]

    monkeypatch.setattr(RefusalJudge, "verdicts", verdicts)
    recipe = load(methods=["linear"], lambdas=[0.5], seeds=[1], teach=None)
    record = run_alignment(recipe, tmp_path / "run")
    assert [(system["unparsed"], system["unparsed_harmless"]) for system in record["systems"]] == [(1, 0)] * 3
    assert "linear: 0.5 chosen in validation; without a verdict: 1 of its answers" in " ".join(
        capsys.readouterr().err.split()
    )
    for page in ("report.md", "report.html"):
        assert "unparsed, harmful" in (tmp_path / "run" / page).read_text()
    assert "1 of 4" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("rule", "points", "chosen"),
    [
        ({}, [(0.2, 1, 3), (0.4, 3, 6), (0.6, 5, 9)], 0.4),  # half of 8 is allowed: the best of those below
        ({}, [(0.2, 3, 6), (0.4, 1, 6), (0.6, 1, 6)], 0.4),  # as good: the safer, then the smaller
        ({}, [(0.2, 6, 1), (0.4, 5, 2), (0.6, 7, 9)], 0.4),  # none is safe enough: the safest
        ({"utility_loss": 0.3}, [(0.2, 1, 5), (0.4, 2, 6), (0.6, 5, 9)], 0.4),  # 6 of 9 will do: the safest
        ({"utility_loss": 0.3}, [(0.2, 2, 6), (0.4, 2, 7), (0.6, 2, 7)], 0.4),  # as safe: the better, the smaller
        ({"utility_loss": 0.3}, [(0.2, 1, 3), (0.4, 2, 5), (0.6, 3, 5)], 0.4),  # none will do: the best at the task
    ],
)
def test_the_rule_of_choice(load, rule, points, chosen):
    assert choose([measured(*point) for point in points], measured(None, 8, 9), load(**rule)) == chosen


def test_a_recipe_has_one_rule(load):
    with pytest.raises(UserError, match="utility_loss: is a rule in place of attack_share"):
        load(utility_loss=0.03, attack_share=0.5)


def test_rates_over_seeds_and_unknown_outcomes():
    found = Repeated.over([[True, False, None], [True, True, None]])
    assert found.rate == 0.75 and found.record()["of"] == 2
    assert Repeated.over([[None]]).record() == {"rate": None, "ci_low": None, "ci_high": None, "of": 0}
    none = Repeated.over([[False] * 20] * 3)
    assert none.interval() == (0.0, pytest.approx(0.1611, abs=1e-4))


def test_a_mean_of_what_is_no_share_has_no_interval_of_shares():
    assert Repeated.over([[0.0, 0.0]], shares=False).record() == {"rate": 0.0, "ci_low": 0.0, "ci_high": 0.0, "of": 2}
    low, high = Repeated.over([[0.0, 1.5] * 20, [0.5, 1.0] * 20], shares=False).interval()
    assert low < 0.75 < high < 1.0


def test_the_interval_is_that_of_requests_and_not_of_answers():
    """Three models that always agree tell no more than one."""
    rng = np.random.default_rng(0)
    one = (rng.random(200) < 0.3).tolist()
    low, high = Repeated.over([one, one, one]).interval()
    wilson = Repeated.over([one]).interval()
    assert (low, high) == (pytest.approx(wilson[0], abs=0.012), pytest.approx(wilson[1], abs=0.012))


def test_differences_are_paired():
    a, b = Repeated.over([[True] * 12 + [False] * 28]), Repeated.over([[False] * 40])
    found = difference(a, b)
    assert found["difference"] == 0.3 and found["ci_low"] > 0.15 and found["p"] == pytest.approx(2 / 2**12, abs=1e-3)
    assert difference(a, a)["p"] == 1.0
