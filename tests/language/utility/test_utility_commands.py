"""`utility evaluate` and `compare`, against a server on this machine and a small model."""

import json
from math import exp
from pathlib import Path

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.errors import UserError
from syn2real.language.utility import Score
from syn2real.language.utility.evaluation import difference, measures
from syn2real.language.utility.folder import RECORD, scores_in

ANSWERS = {"France": "Paris.", "Italy": "roma", "Germany": "Bonn", "sum": "    return a + b"}


@pytest.fixture
def command(chat_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chat_server.reply = lambda asked: next(
        said for word, said in ANSWERS.items() if word in asked["messages"][-1]["content"]
    )

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["utility", *arguments], catch_exceptions=False, env={"COLUMNS": "160"})
        assert result.exit_code == 0, result.output
        return result.stdout

    def evaluate(*more: str, out: str = "out") -> str:
        return run("evaluate", "server:m", *more, "--url", chat_server.url, "-o", out)

    run.evaluate = evaluate
    return run


def test_json_is_the_record_and_a_table_is_shown(command, capitals, tmp_path):
    record = json.loads(command.evaluate("capitals.jsonl", "--json"))
    assert record == json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["tasks"]["capitals"]["measures"]["exact"]["value"] == pytest.approx(2 / 3)
    shown = command.evaluate("capitals.jsonl", "--metric", "exact", out="again")
    assert "66.7 %" in shown and "20.8–93.9" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["capitals.jsonl", RECORD]


def test_code_is_run_if_allowed(command, humaneval, tmp_path):
    with pytest.raises(UserError, match="--allow-code"):
        command.evaluate("humaneval.jsonl")
    assert not (tmp_path / "out").exists()
    record = json.loads(
        command.evaluate("humaneval.jsonl", "--allow-code", "--samples", "3", "--option", "k=[1,2]", "--json")
    )
    assert record["tasks"]["humaneval"]["measures"]["pass@2"]["value"] == 1
    assert record["tasks"]["humaneval"]["asked"]["temperature"] == 0.8


def test_models_side_by_side(command, capitals, chat_server):
    command.evaluate("capitals.jsonl")
    chat_server.reply = lambda asked: "Paris"
    command.evaluate("capitals.jsonl", out="worse")  # what was answered before is kept by the server's model
    assert scores_in_values("worse") == scores_in_values("out")
    command("evaluate", "server:n", "capitals.jsonl", "--url", chat_server.url, "--overwrite", "-o", "worse")
    record = json.loads(command("compare", "out", "worse", "--json"))
    (pair,) = record["tasks"]["capitals"]["pairs"]
    assert pair["difference"] == pytest.approx(1 / 3) and pair["ci_low"] <= 1 / 3 <= pair["ci_high"] and pair["p"] == 1
    assert "+33.3" in command("compare", "out", "worse")


def scores_in_values(folder: str) -> dict:
    return {
        task: {one: score.values for one, score in scores.items()} for task, scores in scores_in(Path(folder)).items()
    }


def test_a_server_that_fails_midway_loses_nothing(command, capitals, chat_server, tmp_path):
    reply = chat_server.reply
    chat_server.reply = lambda asked: reply(asked) if len(chat_server.asked) < 2 else 1 / 0
    with pytest.raises(UserError):
        command.evaluate("capitals.jsonl")
    assert not (tmp_path / "out").exists()
    chat_server.reply, before = reply, len(chat_server.asked)
    command.evaluate("capitals.jsonl")
    assert len(chat_server.asked) - before <= 2 and len(scores_in_values("out")["capitals"]) == 3


def test_a_killed_evaluation_goes_on_and_ends_in_the_same_bytes(chat_llama, capitals, tmp_path, monkeypatch):
    from syn2real.language.chat import asking, chat_model
    from syn2real.language.utility import load_task
    from syn2real.language.utility.folder import evaluate

    monkeypatch.setattr(asking, "TOGETHER", 1)
    task = load_task(capitals, {"max_tokens": 4})

    class Killed:
        def __init__(self, model, left):
            self._model, self._left = model, left

        def __getattr__(self, name):
            return getattr(self._model, name)

        def replies(self, *arguments):
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
            return self._model.replies(*arguments)

    model = chat_model(str(chat_llama))
    with pytest.raises(KeyboardInterrupt):
        evaluate(Killed(model, 2), [task], tmp_path / "a", {})
    assert len(list((tmp_path / "a").glob("*.replies.jsonl"))) == 1
    evaluate(Killed(model, 1), [task], tmp_path / "a", {})
    evaluate(model, [task], tmp_path / "b", {})
    for name in ("capitals.jsonl", RECORD):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_question_longer_than_the_context_loses_its_beginning_and_is_counted(command, chat_llama, tmp_path):
    rows = [{"prompt": "on and " * 400 + "on?", "reference": "on"}, {"prompt": "on?", "reference": "on"}]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = json.loads(command("evaluate", str(chat_llama), "long.jsonl", "--max-tokens", "2", "-o", "l", "--json"))
    assert record["tasks"]["long"]["shortened"] == 1


def test_perplexity_of_a_model_here(command, capitals, chat_llama):
    record = json.loads(
        command("evaluate", str(chat_llama), "capitals.jsonl", "--metric", "perplexity", "-o", "p", "--json")
    )
    found = record["tasks"]["capitals"]["measures"]["perplexity"]
    assert 1000 < found["ci_low"] <= found["value"] <= found["ci_high"]  # of a vocabulary of 49,152, guessed at
    command("evaluate", str(chat_llama), "capitals.jsonl", "--metric", "perplexity", "-o", "q")
    (pair,) = json.loads(command("compare", "p", "q", "--json"))["tasks"]["capitals"]["pairs"]
    assert pair["ratio"] == 1
    with pytest.raises(UserError, match="needs the model itself"):
        command.evaluate("capitals.jsonl", "--metric", "perplexity", out="r")


def test_means_are_of_tokens_and_intervals_hold_them():
    scores = [Score({"perplexity": 1.0}, 1.0), Score({"perplexity": 3.0}, 3.0)]
    found = measures(scores, "nats")["perplexity"]
    assert found["value"] == pytest.approx(exp(2.5)) and (found["ci_low"], found["ci_high"]) == (exp(1), exp(3))
    lower = difference([Score({"x": 0.9})] * 20 + [Score({"x": 0.1})], [Score({"x": 0.5})] * 21, "x", "share")
    assert (
        lower["difference"] == pytest.approx(7.6 / 21) and 0 < lower["ci_low"] < lower["ci_high"] and lower["p"] < 0.001
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("server:m",), "no tasks"),
        (("server:m", "missing.jsonl"), "No such file"),
        (("server:m", "capitals.jsonl"), "needs an address"),
        (("server:m", "capitals.jsonl", "capitals.jsonl"), "two tasks are called 'capitals'"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(command, capitals, tmp_path, arguments, problem):
    with pytest.raises(UserError, match=problem):
        command("evaluate", *arguments, "-o", "x")
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_compared(command, capitals, tmp_path):
    command.evaluate("capitals.jsonl")
    command.evaluate("capitals.jsonl", "--limit", "2", out="fewer")
    command.evaluate("capitals.jsonl", "--metric", "rouge", out="otherwise")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "utility.json").write_text("{}")
    with pytest.raises(UserError, match=r"utility\.json: no record of an evaluation"):
        command("compare", "out", "broken")
    for other, problem in (("fewer", "1 questions only one"), ("otherwise", "marked by exact"), ("none", "holds no")):
        with pytest.raises(UserError, match=problem):
            command("compare", "out", other)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("--metric", "exact", "--option", "pattern=is (.*)"), r"the metric's option pattern None, x 'is \(\.\*\)'"),
        (("--system", "Be brief."), "the setting system None, x 'Be brief.'"),
        (("--max-tokens", "9"), "the setting max_tokens 128, x 9"),
        (("--examples", "solved.jsonl"), "the setting examples 0, x 1"),
    ],
)
def test_what_was_asked_or_marked_otherwise_is_not_compared(command, capitals, tmp_path, given, problem):
    (tmp_path / "solved.jsonl").write_text('{"prompt": "of Spain?", "reference": "Madrid"}\n')
    command.evaluate("capitals.jsonl")
    command.evaluate("capitals.jsonl", *given, out="x")
    with pytest.raises(UserError, match=f"capitals: out has {problem}"):
        command("compare", "out", "x")


def test_questions_of_one_id_may_not_differ(command, capitals):
    command.evaluate("capitals.jsonl")
    before = capitals.read_text()
    capitals.write_text(before.replace("Berlin", "Bonn"))
    command.evaluate("capitals.jsonl", "--seed", "1", out="x")
    with pytest.raises(UserError, match="out and x were asked questions of the same ids with other texts, answers"):
        command("compare", "out", "x")
    capitals.write_text(before)
    command.evaluate("capitals.jsonl", "--seed", "1", "--overwrite", out="x")
    command("compare", "out", "x")  # the seed draws nothing here
    record = json.loads(Path("out", RECORD).read_text())
    for name in ("options", "questions_sha256"):  # as older versions wrote
        del record["tasks"]["capitals"][name]
    Path("out", RECORD).write_text(json.dumps(record))
    command("compare", "out", "x")


@pytest.mark.parametrize(
    ("pattern", "right"), [("[A-Z]\\w+", 2 / 3), ("(?i:paris|roma): (.*)", 0), ("[0-9", None), ("42", 0)]
)
def test_a_pattern_is_text(command, capitals, tmp_path, pattern, right):
    arguments = ("capitals.jsonl", "--option", f"pattern={pattern}", "--json")
    if right is None:
        with pytest.raises(UserError, match="is no regular expression"):
            command.evaluate(*arguments)
        return
    found = json.loads(command.evaluate(*arguments))["tasks"]["capitals"]
    assert found["options"] == {"pattern": pattern}
    assert found["measures"]["exact"]["value"] == pytest.approx(right)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("[pattern]", "options: write names and values"),
        ("{pattern: [A-D]}", r"pattern is a text in quotation marks, not \['A-D'\]"),
    ],
)
def test_options_of_a_file_are_looked_at(command, capitals, tmp_path, options, problem):
    (tmp_path / "task.yaml").write_text(f"questions: capitals.jsonl\nmetric: exact\noptions: {options}\n")
    with pytest.raises(UserError, match=problem):
        command.evaluate("task.yaml")


def test_what_an_earlier_run_of_other_tasks_left_is_not_kept(command, capitals, tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "others.jsonl").write_text("{}\n")
    command.evaluate("capitals.jsonl")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["capitals.jsonl", RECORD]
