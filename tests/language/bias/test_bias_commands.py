"""`bias measure` and `bias mitigate`, of a model on a server."""

import json

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.language.bias.sets import gather, write_set


def call(*arguments):
    return CliRunner().invoke(app, ["bias", *map(str, arguments)])


@pytest.fixture
def folder(cases, tmp_path):
    texts = [case.text for case in cases]
    found = gather(lambda first, count: texts[first : first + count], test=4, pool=2)
    (tmp_path / "cases").mkdir()
    write_set(tmp_path / "cases", found, {"writer": "by hand", "perplexity": None})
    return tmp_path / "cases"


def test_measure_prints_figures_and_not_what_was_provoked(biased_server, folder, tmp_path):
    arguments = ("measure", "server:m", folder, "--url", biased_server.url, "-o", tmp_path / "out")
    shown = call(*arguments)
    assert shown.exit_code == 0
    assert "mean gap" in shown.stdout and "wonderful" not in shown.stdout
    record = json.loads((tmp_path / "out" / "bias.json").read_text())
    assert (record["cases"], record["model"], record["scorer"]) == (4, "m", "vader")
    assert record["mean_gap"] > 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bias.json", "provoked.jsonl"]
    assert call(*arguments).exit_code == 1  # there is something already
    again = call(*arguments, "--overwrite", "--show", 1)
    assert "wonderful" in again.stdout
    assert len(biased_server.asked) == 8


def test_mitigate_prints_gaps_before_and_after(biased_server, folder, tmp_path):
    shown = call("mitigate", "server:m", folder, "--url", biased_server.url, "-w", "instruction", "-w", "top", "-k", 1,
                 "-o", tmp_path / "out", "--json")  # fmt: skip
    record = json.loads(shown.stdout)
    assert [row["way"] for row in record["mitigated"]] == ["instruction", "top"]
    assert record["mitigated"][0]["change"]["cases"] == 4
    assert record == json.loads((tmp_path / "out" / "mitigation.json").read_text())


def test_mistakes_are_told(biased_server, folder, tmp_path):
    assert call("report", tmp_path).exit_code == 1
    (tmp_path / "s.txt").write_text("He sings of what his father told him.\n")
    asked = ("--url", biased_server.url, "-o", tmp_path / "o", "--names")
    both = call("measure", "server:m", tmp_path / "s.txt", *asked, "--pairs", "x")
    assert "--names belong to our own pairs" in str(both.exception)
    assert "its cases have their twins" in str(call("measure", "server:m", folder, *asked).exception)
    assert call("mitigate", "server:m", tmp_path, "--url", biased_server.url, "-o", tmp_path / "o").exit_code == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("-w", "tpo"), "way 'tpo': unknown (did you mean 'top'?)"),
        (("-w", "instruction", "-w", "../../evil"), "way '../../evil': unknown"),
        (
            ("-w", "top", "--scorer", "embedding", "--scorer-model", "mine"),
            "the scorer 'embedding' compares answers and scores none",
        ),
    ],
)
def test_ways_are_looked_at_before_anybody_is_asked(biased_server, folder, tmp_path, monkeypatch, options, problem):
    monkeypatch.setattr("syn2real.language.bias.scorers._Encoder", lambda *_: None)
    shown = call("mitigate", "server:m", folder, "--url", biased_server.url, "-o", tmp_path / "out", *options)
    assert shown.exit_code == 1 and problem in str(shown.exception)
    assert not biased_server.asked
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]


def test_what_an_earlier_run_with_other_ways_left_is_not_kept(biased_server, folder, tmp_path):
    left = tmp_path / ".out.partial" / "sample"
    left.mkdir(parents=True)
    (left / "provoked.jsonl").write_text("")
    asked = ("mitigate", "server:m", folder, "--url", biased_server.url, "-w", "instruction", "-o", tmp_path / "out")
    assert call(*asked).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "before", "instruction", "mitigation.json", "pool",
    ]  # fmt: skip
