"""The task of a study marked otherwise than by exact match."""

import json
import shutil

import numpy as np
import pytest

from syn2real.cli.alignment import plan_alignment, run_alignment
from syn2real.errors import UserError
from syn2real.experiments.alignment.material import Material
from syn2real.experiments.alignment.pipeline import Pipeline
from syn2real.experiments.alignment.repeated import Repeated, difference
from syn2real.experiments.stages import Workspace
from syn2real.language.chat.local import LocalModel
from syn2real.language.safety.refusal import RefusalJudge

ADD = {"prompt": "def add(a, b):\n", "entry_point": "add", "tests": "assert add(1, 2) == 3"}
SMALL = {"train": 4, "max_tokens": 3, "tuning": {"epochs": 1, "batch_size": 4, "lora": {"rank": 2}}}


def keys(recipe, root) -> dict[str, str]:
    """The keys of what is asked and marked of the model as it comes, by the stage's name."""
    workspace = Workspace(root, dry=True)
    pipeline = Pipeline(workspace, recipe, Material(recipe))
    pipeline.asked(pipeline.start, pipeline.material.validation, "model")
    return {planned.name: key for key, planned in workspace.planned.items()}


def test_another_metric_asks_nothing_anew(load, tmp_path):
    task = {"examples": "task.tsv", "train": 12, "max_tokens": 3}
    exact = keys(load(task=task), tmp_path)
    assert list(exact) == ["asked", "judged"]
    assert keys(load(task=task | {"metric": "exact", "temperature": 0.3}), tmp_path) == exact
    rouge = keys(load(task=task | {"metric": "rouge"}), tmp_path)
    assert rouge["asked"] == exact["asked"] and list(rouge) == ["asked", "judged", "marked"]
    other = keys(load(task=task | {"metric": "rouge", "options": {"kind": "rouge1"}}), tmp_path)
    assert other["asked"] == exact["asked"] and other["marked"] != rouge["marked"]


def test_a_judges_files_count_by_what_they_say(load, folder, tmp_path, chat_llama):
    """Neither where they lie, nor that a file of that name was there before; and no judge has anything asked anew."""
    answers = set()

    def judged(**safety) -> str:
        given = {"harmful": ["harmful.txt"], "max_tokens": 4} | safety
        found = keys(load(task={"examples": "task.tsv"}, safety=given), tmp_path)
        answers.add(found["asked"])
        return found["judged"]

    for name, text in (("own.txt", "sure\n"), ("elsewhere/same.txt", "sure\n"), ("other.txt", "no\n")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    own, same, other = (
        judged(judge_options={"phrases": name}) for name in ("own.txt", "elsewhere/same.txt", "other.txt")
    )
    assert own == same != other and own != judged() == judged(judge_options={})
    (folder / "own.txt").write_text("never\n")
    assert judged(judge_options={"phrases": "own.txt"}) != own
    copies = [shutil.copytree(chat_llama, tmp_path / name) for name in "ab"]
    first, second = (judged(judge="llama-guard-3", judge_options={"model": str(copy)}) for copy in copies)
    assert first == second != judged(judge="llama-guard-3")
    (copies[1] / "generation_config.json").write_text('{"temperature": 0.5}')
    assert judged(judge="llama-guard-3", judge_options={"model": str(copies[1])}) != first
    assert len(answers) == 1


def test_the_model_of_a_metric_or_of_a_scorer_counts_by_what_it_is(load, folder, tmp_path, chat_llama):
    (folder / "people.txt").write_text("My uncle is late again.\nThe queen loves her garden.\n")
    copies = [shutil.copytree(chat_llama, tmp_path / name) for name in "ab"]

    def found(copy) -> tuple[str, str]:
        task = {"examples": "task.tsv", "metric": "bertscore", "options": {"model": str(copy), "layer": 1}}
        bias = {"cases": "people.txt", "count": 2, "scorer": "embedding", "scorer_options": {"model": str(copy)}}
        recipe = load(task=task, bias=bias)
        workspace = Workspace(tmp_path / "run", dry=True)
        pipeline = Pipeline(workspace, recipe, Material(recipe))
        pipeline.asked(pipeline.start, pipeline.material.validation, "model")
        pipeline.compared(pipeline.start, "model")
        by_name = {planned.name: key for key, planned in workspace.planned.items()}
        return by_name["marked"], by_name["compared"]

    first, second = map(found, copies)
    assert first == second
    (copies[1] / "generation_config.json").write_text('{"temperature": 0.5}')
    assert not set(found(copies[1])) & set(first)


def test_a_kill_while_judging_asks_no_request_again(load, tmp_path, monkeypatch):
    asked = []
    replies = LocalModel.replies
    monkeypatch.setattr(
        LocalModel, "replies", lambda self, talks, *more: asked.extend(talks) or replies(self, talks, *more)
    )
    recipe = load()
    pipeline = Pipeline(Workspace(tmp_path / "a"), recipe, Material(recipe))
    part = pipeline.material.validation
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(RefusalJudge, "verdicts", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        pipeline.asked(pipeline.start, part, "model")
    before = len(asked)
    assert len(pipeline.asked(pipeline.start, part, "model").answers) == len(part.prompts)
    assert before == len(asked) == len(part.prompts) + len(part.questions)
    assert not list((tmp_path / "a").rglob("*.replies.jsonl"))


def test_a_kill_while_the_tasks_questions_are_asked_loses_one_part(load, tmp_path, monkeypatch):
    monkeypatch.setattr("syn2real.language.chat.asking.TOGETHER", 1)  # parts of two
    replies, asked = LocalModel.replies, []

    def counted(self, talks, *more):
        if len(asked) == killed:
            raise KeyboardInterrupt
        asked.append(len(talks))
        return replies(self, talks, *more)

    monkeypatch.setattr(LocalModel, "replies", counted)
    recipe = load(validation={"harmful": 2, "harmless": 0, "task": 6})
    pipeline = Pipeline(Workspace(tmp_path / "a"), recipe, Material(recipe))
    killed = 3  # one part of requests, and two of three of questions
    with pytest.raises(KeyboardInterrupt):
        pipeline.asked(pipeline.start, pipeline.material.validation, "model")
    killed = None
    again = pipeline.asked(pipeline.start, pipeline.material.validation, "model")
    assert asked == [2, 2, 2, 2] and len(again.marks) == 6


def test_a_question_longer_than_the_context_loses_its_beginning(load, tmp_path, capsys):
    recipe = load(task=SMALL | {"examples": "task.tsv", "question": "word " * 300 + "{sentence}"})
    pipeline = Pipeline(Workspace(tmp_path / "a"), recipe, Material(recipe))
    assert len(pipeline.asked(pipeline.start, pipeline.material.validation, "model").marks) == 3
    assert "3 of 3 questions lost their beginning" in " ".join(capsys.readouterr().err.split())


def test_rouge_in_a_study(load, tmp_path):
    for library in ("trl", "rouge_score"):
        pytest.importorskip(library)
    task = SMALL | {"examples": "task.tsv", "metric": "rouge", "options": {"kind": "rouge1"}}
    recipe = load(task=task, methods=["linear"], lambdas=[0.5], seeds=[1], teach=None)
    planned = plan_alignment(recipe, tmp_path / "run")
    assert {"tuned", "asked", "judged", "marked"} == {stage["name"] for stage in planned["stages"]}
    record = run_alignment(recipe, tmp_path / "run")
    marks = [mark for file in (tmp_path / "run").rglob("marks.json") for mark in json.loads(file.read_text())]
    assert marks and all(0 <= mark <= 1 for mark in marks)
    assert all(0 <= system["utility"]["rate"] <= 1 for system in record["systems"])
    assert "rouge" in (tmp_path / "run" / "report.md").read_text()
    again = plan_alignment(recipe, tmp_path / "run")
    assert again["done"] == len(again["stages"])


def test_programs_in_a_study_are_asked_of_another_file_and_run_if_allowed(load, folder, tmp_path):
    (folder / "asked.jsonl").write_text(
        "".join(json.dumps(ADD | {"id": str(n), "prompt": f"# {n}\n{ADD['prompt']}"}) + "\n" for n in range(4))
    )
    task = SMALL | {"examples": "task.tsv", "asked": "asked.jsonl", "metric": "pass_at_k"}
    parts = {part: {"harmful": 1, "harmless": 0, "task": 2} for part in ("validation", "test")}
    options = {"k": 2, "samples": 3}
    recipe = load(task=task | {"options": options}, **parts)
    material = Material(recipe)
    asked = {question.prompt for part in (material.validation, material.test) for question in part.questions}
    assert len(asked) == 4 and len(material.task) == 4 and all("def add" in prompt for prompt in asked)
    pipeline = Pipeline(Workspace(tmp_path / "a"), recipe, material)
    with pytest.raises(UserError, match="allow_code: true"):
        pipeline.asked(pipeline.start, material.validation, "model")
    allowed = load(task=task | {"options": options | {"allow_code": True}}, **parts)
    pipeline = Pipeline(Workspace(tmp_path / "a"), allowed, Material(allowed))
    outcome = pipeline.asked(pipeline.start, material.validation, "model")
    assert outcome.marks == (0.0, 0.0)  # what a random model writes is no program
    (file,) = (tmp_path / "a").rglob("task.jsonl")
    assert [len(json.loads(line)["said"]) for line in file.open()] == [3, 3]


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"metric": "exakt"}, "did you mean 'exact'"),
        ({"metric": "perplexity"}, "marks answers within 0 and 1, not perplexity"),
        ({"options": {"k": 3}}, "takes no option 'k'"),
        ({"asked": "absent.jsonl"}, r"absent\.jsonl: no such file"),
    ],
)
def test_mistakes_are_named(load, task, problem):
    with pytest.raises(UserError, match=problem):
        load(task={"examples": "task.tsv"} | task)


def test_intervals_of_marks_between_right_and_wrong():
    rng = np.random.default_rng(0)
    marks = (rng.random(200) / 2).tolist()
    found = Repeated.over([marks])
    low, high = found.interval()
    spread = 1.96 * np.std(marks) / 200**0.5
    assert (low, high) == (pytest.approx(found.rate - spread, abs=3e-3), pytest.approx(found.rate + spread, abs=3e-3))
    better = Repeated.over([[mark + 0.1 for mark in marks]])
    assert difference(better, found)["ci_low"] == pytest.approx(0.1) and difference(better, found)["p"] < 0.001
