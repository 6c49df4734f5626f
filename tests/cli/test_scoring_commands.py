"""`score` and `compare` on files as people have them."""

import json
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app
from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus

REFERENCES = [
    {"id": "1", "text": "the cat sat on the mat", "speaker": "anna", "gender": "f"},
    {"id": "2", "text": "a pizza margherita please", "speaker": "ben", "gender": "m"},
    {"id": "3", "text": "pizza margherita and cola", "speaker": "ben", "gender": "m"},
]
NEW = ["the cat sat on a mat", "a pizza margarita please", "pizza margherita and cola now"]
OLD = ["the hat sat on a mat", "a pizza margarita pleas", "pizza margarita and <b>cola</b>"]


@pytest.fixture
def folder(tmp_path):
    lines = {"ref": REFERENCES}
    for name, texts in (("new", NEW), ("old", OLD)):
        lines[name] = [{"id": row["id"], "pred_text": text} for row, text in zip(REFERENCES, texts, strict=True)]
    for name, rows in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "dishes.txt").write_text("pizza margherita\ncola\n")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_everything_that_is_asked_for_is_said(folder):
    files = folder / "ref.jsonl", folder / "new.jsonl", "--against", folder / "old.jsonl"
    options = "--by", "gender", "--by", "speaker", "--keywords", folder / "dishes.txt", "-n", "none"
    found = json.loads(run("score", *files, *options, "--json").stdout)
    assert found["counts"]["substitutions"] == 2 and found["counts"]["insertions"] == 1
    assert {name: part["words"] for name, part in found["groups"]["gender"].items()} == {"f": 6, "m": 8}
    assert set(found["groups"]["speaker"]) == {"anna", "ben"}
    assert (found["keywords"]["said"], found["keywords"]["found"]) == (3, 2)
    assert ["the", "a", 1] in found["confusions"]["substitutions"]
    shown = run("score", *files, *options, "--show", 2).stdout
    for words in ("By gender", "Keywords", "margherita → margarita", "against the other system", "[+now+]"):
        assert words in shown


def test_the_rare_words_that_the_other_misses_are_taken_from_the_text(folder):
    (folder / "menu.txt").write_text("Pizza margherita\nthe cat\nplease\n")
    files = folder / "ref.jsonl", folder / "new.jsonl", "--against", folder / "old.jsonl"
    found = json.loads(run("score", *files, "--domain-text", folder / "menu.txt", "--json").stdout)
    words = {row["keyword"]: row["found"] for row in found["keywords"]["words"]}
    assert words == {"cat": 1, "margherita": 1, "please": 1}
    assert found["paired"]["keywords"]["found"] == 0
    with pytest.raises(Exception, match="name it by --against"):
        run("score", folder / "ref.jsonl", folder / "new.jsonl", "--domain-text", folder / "menu.txt")


def test_the_page_has_it_all_inside(folder):
    page = folder / "out" / "report.html"
    files = folder / "ref.jsonl", folder / "old.jsonl"
    assert run("score", *files, "--html", page, "-n", "none").exit_code == 0
    text = page.read_text()
    assert "&lt;b&gt;cola&lt;/b&gt;" in text and "<b>cola" not in text
    assert 'class="substitute"' in text and 'src="http' not in text
    with pytest.raises(Exception, match="already exists"):
        run("score", *files, "--html", page)
    assert run("score", *files, "--html", page, "--overwrite").exit_code == 0


def test_systems_are_compared_by_name(folder):
    named = f"before={folder / 'old.jsonl'}"
    found = json.loads(run("compare", folder / "ref.jsonl", folder / "new.jsonl", named, "--json").stdout)
    assert list(found["systems"]) == ["new", "before"]
    (test,) = found["pairs"]
    assert test["difference"] < 0 and {"p_holm", "flip_p_holm", "mapsswe_p_holm"} <= set(test)
    shown = run("compare", folder / "ref.jsonl", folder / "new.jsonl", named).stdout
    assert "before" in shown and "corrected by Holm" in shown


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["compare", "ref.jsonl", "new.jsonl"], "two systems or more"),
        (["compare", "ref.jsonl", "new.jsonl", "new.jsonl"], "two systems are called 'new'"),
        (["score", "ref.jsonl", "new.jsonl", "--by", "age"], "no 'age'"),
        (["score", "new.jsonl", "new.jsonl", "--by", "speaker"], "name no speakers"),
        (["score", "ref.jsonl", "new.jsonl", "--format", "docx"], "--format docx: unknown"),
        (["score", "ref.jsonl", "new.jsonl", "--map", "none.txt"], "none.txt: no such file"),
        (["score", "ref.jsonl", "new.jsonl", "-n", "greek"], "unknown normaliser 'greek'"),
    ],
)
def test_what_cannot_be_done_is_one_line(folder, monkeypatch, arguments, problem):
    monkeypatch.chdir(folder)
    if arguments[1] == "new.jsonl":
        rows = [{"id": row["id"], "text": row["text"]} for row in REFERENCES]
        (folder / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(Exception, match=problem) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


def test_what_the_references_lack_is_said_before_anything_is_heard(recordings, tmp_path, monkeypatch):
    manifest = shutil.copytree(recordings.parent, tmp_path / "spoken") / recordings.name
    Corpus.of(replace(utterance, speaker=None) for utterance in Corpus.load(manifest)).save(manifest)
    (tmp_path / "words.txt").write_text("xylophone\n")

    def heard(*_):
        raise AssertionError("it was heard")

    monkeypatch.setattr("syn2real.cli.scoring.heard", heard)
    for options, problem in (
        (("--by", "speaker"), "--by speaker: the references name no speakers"),
        (("--keywords", tmp_path / "words.txt"), "none of the keywords is said"),
    ):
        with pytest.raises(UserError, match=problem):
            run("evaluate", manifest, "-m", "whisper-tiny.en", *options)
