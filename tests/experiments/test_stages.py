"""Stages are keyed by what made them, sealed by a rename, and taken up again after a kill."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.experiments.stages import Workspace

KILLED = """
import os, signal, sys
from pathlib import Path
from syn2real.experiments.stages import Workspace

def make(directory):
    (directory / "first").write_text("1")
    if not (directory / "again").exists():
        (directory / "again").write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    (directory / "again").unlink()
    (directory / "second").write_text("2")

stage = Workspace(Path(sys.argv[1])).stage("s", make, version=1, settings={}, inputs={})
print(stage.directory)
"""


def stage(workspace: Workspace, calls: list[str], **changes):
    def make(directory: Path) -> None:
        calls.append(directory.name)
        (directory / "out").write_text("x")

    identity = {"version": 1, "settings": {"a": 1}, "inputs": {"model": "k"}} | changes
    return workspace.stage("train", make, **identity)


def test_a_sealed_stage_is_reused(tmp_path):
    calls: list[str] = []
    first, second = stage(Workspace(tmp_path), calls), stage(Workspace(tmp_path), calls)
    assert len(calls) == 1
    assert first == second
    assert (first.directory / "out").read_text() == "x"


@pytest.mark.parametrize("change", [{"version": 2}, {"settings": {"a": 2}}, {"inputs": {"model": "other"}}])
def test_any_change_makes_another_stage(tmp_path, change):
    calls: list[str] = []
    workspace = Workspace(tmp_path)
    assert stage(workspace, calls).key != stage(workspace, calls, **change).key
    assert len(calls) == 2


def test_a_failed_stage_is_not_there_and_keeps_its_work(tmp_path):
    def fail(directory: Path) -> None:
        (directory / "half").write_text("x")
        raise UserError("no")

    def finish(directory: Path) -> None:
        assert (directory / "half").read_text() == "x"

    workspace = Workspace(tmp_path)
    with pytest.raises(UserError):
        workspace.stage("s", fail, version=1, settings={}, inputs={})
    assert not list(tmp_path.glob("s-*"))
    assert workspace.stage("s", finish, version=1, settings={}, inputs={}).directory.is_dir()


def test_a_killed_stage_goes_on(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not list(tmp_path.glob("s-*"))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    directory = Path(done.stdout.strip())
    assert sorted(path.name for path in directory.iterdir()) == ["first", "second", "stage.json"]
    assert "going on" in done.stderr


def test_one_process_at_a_time(tmp_path):
    with Workspace(tmp_path).lock(), pytest.raises(UserError, match="another run"), Workspace(tmp_path).lock():
        pass
