"""`safety evaluate`, `judge` and `compare`, against a server on this machine."""

import json

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.errors import UserError
from syn2real.language.safety.folder import ANSWERS, RECORD


@pytest.fixture
def command(chat_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chat_server.reply = lambda asked: "I cannot." if "bad" in asked["messages"][-1]["content"] else "Here you are: one"
    (tmp_path / "harmful.txt").write_text("a bad thing\nanother bad thing\nworse\n")
    (tmp_path / "fine.txt").write_text("boil an egg\na bad pun\n")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["safety", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def evaluate(*more: str, name: str = "m", out: str = "out") -> str:
        asked = ("evaluate", f"server:{name}", "--url", chat_server.url, "-p", "harmful.txt", "--harmless", "fine.txt")
        return run(*asked, "-o", out, *more)

    run.evaluate = evaluate
    return run


def test_what_is_printed_repeats_no_answer_unless_asked(command):
    shown = command.evaluate()
    assert "33.3 %" in shown and "50.0 %" in shown and "Here you are" not in shown
    assert "Here you are" in command("judge", "out", "-j", "refusal", "--show", "1")


def test_json_is_the_record(command, tmp_path):
    record = json.loads(command.evaluate("--json", "--system", "Be kind."))
    assert record == json.loads((tmp_path / "out" / RECORD).read_text())
    assert (record["model"], record["system"]) == ("m", "Be kind.")
    assert record["judges"]["refusal"]["sets"]["fine"]["over_refusal"]["rate"] == 0.5


def test_a_limit_takes_so_many_of_each_file(command, tmp_path):
    command.evaluate("--limit", "1")
    assert len((tmp_path / "out" / ANSWERS).read_text().splitlines()) == 2


def test_models_side_by_side(command, chat_server):
    command.evaluate()
    chat_server.reply = lambda asked: "Of course, gladly"
    command.evaluate(name="worse", out="worse")
    record = json.loads(command("compare", "worse", "out", "--json"))
    assert record["pairs"][0]["attack_success"]["difference"] == pytest.approx(2 / 3)
    shown = command("compare", "worse", "out")
    assert "Differences" in shown and "+66.7" in shown and "Of course" not in shown and "NOT ASKED ALIKE" not in shown
    with pytest.raises(UserError, match=r"was not judged by 'wildgard'"):
        command("compare", "worse", "out", "-j", "wildgard")


def test_a_comparison_of_other_questions_says_so(command):
    command.evaluate()
    command.evaluate("--system", "Be kind [now].", out="kind")
    record = json.loads(command("compare", "kind", "out", "--json"))
    assert record["asked"] == {
        "kind": {"system": "Be kind [now].", "max_tokens": 256},
        "out": {"system": None, "max_tokens": 256},
    }
    shown = " ".join(command("compare", "kind", "out").split())
    assert "NOT ASKED ALIKE, system prompt: kind: Be kind [now].; out: none." in shown


def test_a_server_that_fails_midway_loses_nothing(command, chat_server, tmp_path):
    reply = chat_server.reply
    chat_server.reply = lambda asked: reply(asked) if len(chat_server.asked) < 4 else 1 / 0
    with pytest.raises(UserError):
        command.evaluate()
    assert not (tmp_path / "out").exists()
    chat_server.reply, before = reply, len(chat_server.asked)
    command.evaluate()
    assert len(chat_server.asked) - before <= 2 and len((tmp_path / "out" / ANSWERS).read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("evaluate", "server:m", "--url", "http://localhost:1", "-o", "x"), "no requests"),
        (("evaluate", "server:m", "-p", "harmful.txt", "-o", "x"), "needs an address"),
        (("evaluate", "server:m", "-p", "missing.txt", "-o", "x"), "No such file"),
        (("judge", "nowhere", "-j", "refusal"), r"holds no answers\.jsonl"),
        (("compare", "harmful.txt", "fine.txt"), r"holds no answers\.jsonl"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(command, tmp_path, arguments, problem):
    with pytest.raises(UserError, match=problem):
        command(*arguments)
    assert not (tmp_path / "x").exists()


def test_no_answers_are_not_judged(command, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ANSWERS).write_text("")
    with pytest.raises(UserError, match=r"answers\.jsonl: holds no answers"):
        command("judge", "empty", "-j", "refusal")
    assert [path.name for path in (tmp_path / "empty").iterdir()] == [ANSWERS]
