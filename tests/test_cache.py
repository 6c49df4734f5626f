"""Two runs that need the same thing at once: one makes it, the other waits and finds it."""

import os
import subprocess
import sys

import pytest

from syn2real.cache import only_one
from syn2real.errors import UserError
from syn2real.hashing import remembered_sha256, sha256_file

TAKE_TURNS = """
import sys, time
from pathlib import Path
from syn2real.cache import only_one
for _ in range(20):
    with only_one("thing"):
        busy = Path(sys.argv[1])
        assert not busy.exists(), "two at once"
        busy.touch()
        time.sleep(0.005)
        busy.unlink()
"""
CONVERT = "from syn2real.speech.pretrained import resolve_model; print(resolve_model('whisper-tiny.en'))"


def together(program, cache, *arguments, processes=2):
    """What each of several runs of a program, started at once, printed."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = os.environ | {"SYN2REAL_CACHE": str(cache)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    runs = [subprocess.Popen(command, **pipes) for _ in range(processes)]
    ended = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0] * processes, ended
    return [out.strip() for out, _ in ended]


def test_one_at_a_time(tmp_path):
    together(TAKE_TURNS, tmp_path / "cache", tmp_path / "busy", processes=3)


def test_two_runs_convert_one_model_once(tiny_en, tmp_path):
    first, second = together(CONVERT, tmp_path)
    assert first == second
    (made,) = (tmp_path / "models").iterdir()
    weights = "model.safetensors"
    assert sha256_file(made / weights) == sha256_file(tiny_en / weights)


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="SYN2REAL_CACHE"), only_one("thing"):
        pass


def test_a_note_that_another_run_is_writing_is_not_taken_for_a_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"1234")
    monkeypatch.setattr("syn2real.hashing.SETTLED", -1)
    right = remembered_sha256(file)
    (note,) = (tmp_path / "cache" / "hashes").iterdir()
    note.write_text("")
    assert remembered_sha256(file) == right == sha256_file(file)
