"""`text check` and `text verbalise`."""

import json

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.speech.corpus import read_sentences

LINES = "Wake me at 5:30 am.\nIt costs $5.20 😀\n🎉🎉\n\ntwo [plain] words\n"


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["text", *map(str, arguments)])


def test_check_counts_by_character_and_lists_lines_with_nothing_else(lines):
    done = run("check", lines, "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [(c["name"], c["count"], c["first_line"]) for c in answer["characters"]] == [
        ("U+1F389 PARTY POPPER", 2, 3),
        ("U+1F600 GRINNING FACE", 1, 2),
    ]
    assert answer["rejected"] == [{"line": 3, "text": "🎉🎉"}]


def test_a_language_is_given_by_its_code(lines):
    done = run("check", lines, "--language", "english")
    assert done.exit_code == 1 and str(done.exception).startswith("--language english: is no code of a language")


def test_check_of_sound_text_is_status_0(tmp_path):
    (tmp_path / "sound.jsonl").write_text('{"text": "5 cosas"}\n', encoding="utf-8")
    done = run("check", tmp_path / "sound.jsonl", "--language", "es")
    assert done.exit_code == 0 and "1 lines, 0 characters" in done.stdout


def test_verbalised_text_is_read_as_it_is(lines, tmp_path):
    done = run("verbalise", lines, "-o", tmp_path / "out.jsonl", "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 0 and answer["kinds"] == {"time": 1, "money": 1}
    assert {"kind": "time", "written": "5:30", "said": "five thirty", "count": 1} in answer["changes"]
    assert [row["text"] for row in answer["rejected"]] == ["🎉🎉"]
    assert [sentence.text for sentence in read_sentences(tmp_path / "out.jsonl")] == [
        "Wake me at five thirty am.",
        "It costs five dollars and twenty cents",
        "two [plain] words",
    ]
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[0]["written"] == "Wake me at 5:30 am." and "written" not in rows[2]


def test_slurp_keeps_the_punctuation_that_an_engine_needs(lines, tmp_path):
    assert run("verbalise", lines, "-o", tmp_path / "out.jsonl", "--style", "slurp").exit_code == 0
    row = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (row["text"], row["spoken"]) == ("wake me at five thirty am", "Wake me at five thirty am.")


def test_an_unknown_style_is_met_with_the_nearest(lines, tmp_path):
    error = run("verbalise", lines, "-o", tmp_path / "out.jsonl", "--style", "slrup").exception
    assert "did you mean 'slurp'?" in str(error)
