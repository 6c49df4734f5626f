"""`syn2real check`, as a person would type it."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from shutil import copytree

import pytest
import soundfile

pytest.importorskip("transformers")

from syn2real.cli.main import main
from syn2real.speech.corpus import Corpus


def check(*arguments: object, code: int = 0, command: str = "check") -> str:
    """What the command prints, on either stream; it must end with ``code``."""
    out, ended = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
        patch.setattr(sys, "argv", ["syn2real", command, *map(str, arguments)])
        patch.setenv("COLUMNS", "160")
        try:
            main()
        except SystemExit as leaving:
            ended = int(leaving.code or 0)
    assert ended == code, out.getvalue()
    return out.getvalue()


@pytest.fixture
def folder(recordings, tmp_path) -> Path:
    """24 real recordings, of which the one that says most is left a tenth of a second, from its middle."""
    copytree(recordings.parent, tmp_path / "corpus")
    corpus = Corpus.load(tmp_path / "corpus" / "manifest.jsonl")
    path = max(corpus, key=lambda utterance: len(utterance.text)).audio_filepath
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[len(samples) // 2 :][: round(0.1 * rate)], rate)
    return tmp_path / "corpus"


def test_a_broken_clip_is_named_and_nothing_is_written(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    printed = " ".join(check(folder, "--by", "engine", code=1).split())  # lines break where a path leaves room
    assert "too short for its text" in printed or "cut off" in printed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_report_and_the_manifest_without_the_rejected(folder, tmp_path):
    told = check(folder / "manifest.jsonl", "--drop", folder / "sound.jsonl", "-o", tmp_path / "report", "--json")
    record = json.loads(told[told.index("{") :])
    assert record["all"]["rejected"] == 1 and record["recogniser"] is None
    assert len(Corpus.load(folder / "sound.jsonl")) == 23
    assert json.loads((tmp_path / "report" / "check.json").read_text()) == record
    (line,) = (tmp_path / "report" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line) == record["rejected"][0] and json.loads(line)["reasons"]
    assert (tmp_path / "report" / "check.png").read_bytes().startswith(b"\x89PNG")
    check(folder / "sound.jsonl")


def test_a_recogniser_adds_error_rates(folder, small_ctc, tmp_path, monkeypatch):
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "cache"))
    arguments = (folder, "-r", small_ctc("wav2vec2"), "-l", "en", "--limit", "reject=99", "--limit", "alone=99")
    told = check(*arguments, "--by", "engine", code=1)
    assert "CER" in told and "normaliser english" in told
    assert (tmp_path / "cache" / "hypotheses").is_dir()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--limit", "pause"], "--limit pause: write NAME=NUMBER, for instance pause=4"),
        (["--limit", "pauses=3"], "unknown limit 'pauses' (did you mean 'pause'?)"),
        (["--limit", "fast=-1"], "fast must be a number above 0, not -1"),
        (["--by", "voices"], "--by voices: unknown (did you mean 'voice'?)"),
        (["-n", "inglish"], "unknown normaliser 'inglish' (did you mean 'english'?)"),
        (["-r", "whisper-bass"], "whisper-bass"),
        (["--drop", "."], "is a directory; name a file in it"),
        (["--drop", "elsewhere/rest.jsonl"], "lies outside the manifest's folder"),
    ],
)
def test_mistakes_are_one_line(folder, arguments, problem, tmp_path):
    printed = check(folder, *arguments, "--output", tmp_path / "report", code=1)
    assert problem in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "report").exists()


def test_a_manifest_that_is_not_there(tmp_path):
    assert "no such manifest" in check(tmp_path, code=1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--check", "signals"], "--check signals: unknown (did you mean 'signal'?)"),
        (["-r", "whisper-base"], "--recogniser whisper-base: hears clips only with --check recogniser"),
        (["--limit", "pauses=3"], "unknown limit 'pauses' (did you mean 'pause'?)"),
        (["--check", "none", "--limit", "pause=3"], "--limit pause=3: clips are held to no limit with --check none"),
        (["--shard", ""], "write I/N"),
    ],
)
def test_mistakes_in_what_to_check_while_speaking(tmp_path, arguments, problem):
    (tmp_path / "text.txt").write_text("hello there\n")
    printed = check(tmp_path / "text.txt", "-o", tmp_path / "out", *arguments, code=1, command="synthesize")
    assert problem in printed and "Traceback" not in printed
    assert not (tmp_path / "out").exists()
