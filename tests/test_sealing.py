"""An output is whole or absent, and what it replaces is there until it is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.sealing import (
    clear_discarded,
    discard,
    read_json,
    require_absent,
    require_absent_file,
    sealed_directory,
    sealed_file,
    write_json,
    write_text,
)

KILLED = """
import os, signal, sys
from pathlib import Path
from syn2real.sealing import sealed_directory

plain, calls = os.replace, []

def replace(*paths):
    calls.append(paths)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    plain(*paths)

os.replace = replace
with sealed_directory(Path(sys.argv[1]), resume=True, overwrite=True) as partial:
    (partial / "content").write_text("new")
"""


def fill(directory: Path, content: str, **options: bool) -> None:
    with sealed_directory(directory, **options) as partial:
        (partial / "content").write_text(content)


def test_overwriting_leaves_the_new_alone(tmp_path):
    fill(tmp_path / "out", "old")
    with pytest.raises(UserError, match="already exists"):
        fill(tmp_path / "out", "new")
    fill(tmp_path / "out", "new", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "content").read_text() == "new"


@pytest.mark.parametrize("place", [1, 2])  # before the old is moved aside, and before the new takes its place
def test_a_kill_while_replacing_loses_nothing(tmp_path, place):
    out = tmp_path / "out"
    fill(out, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(out), str(place)], check=False)
    assert done.returncode == -signal.SIGKILL
    kept = out if place == 1 else tmp_path / ".out.replaced"
    assert (kept / "content").read_text() == "old"
    with pytest.raises(UserError, match="already exists"):  # and it is back
        fill(out, "newer")
    assert (out / "content").read_text() == "old"
    fill(out, "newer", overwrite=True)
    assert (out / "content").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_rename_that_fails_puts_the_old_back(tmp_path, monkeypatch):
    fill(tmp_path / "out", "old")
    plain = os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(source).name.endswith(".partial"):
            raise OSError(5, "Input/output error")
        plain(source, target)

    monkeypatch.setattr("syn2real.sealing.os.replace", fail)
    with pytest.raises(UserError, match="Input/output error"):
        fill(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "content").read_text() == "old"


def test_a_file_where_a_directory_goes_is_refused_at_once(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file"), sealed_directory(tmp_path / "out", overwrite=True):
        pytest.fail("work was begun")
    with pytest.raises(UserError, match="Not a directory"):
        fill(tmp_path / "out" / "below", "x", resume=True)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_directory_where_a_file_goes_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="is a directory"), sealed_file(tmp_path):
        pytest.fail("work was begun")
    with pytest.raises(UserError, match="is a directory"):
        require_absent_file(tmp_path, overwrite=True)


def test_a_device_is_no_output(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="a device or the like"):
        write_text(tmp_path / "pipe", "text")


TWO = """
import sys, time
from pathlib import Path
from syn2real.sealing import sealed_file

with sealed_file(Path(sys.argv[1])) as partial, partial.open("w") as file:
    for _ in range(100):
        file.write(sys.argv[2])
        file.flush()
        time.sleep(0.005)
    print("written", flush=True)
"""


def test_two_that_write_one_file_wait_for_each_other(tmp_path):
    command = [sys.executable, "-c", TWO, tmp_path / "file"]
    running = [subprocess.Popen([*command, letter], stdout=subprocess.PIPE) for letter in "abc"]
    assert [process.communicate()[0] for process in running] == [b"written\n"] * 3
    assert (tmp_path / "file").read_text() in {letter * 100 for letter in "abc"}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_written_as_json_is_read_again(tmp_path):
    write_json(tmp_path / "a.json", {"name": "Zoë", "rates": [0.5]})
    assert "Zoë" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path, "a.json", "make it") == {"name": "Zoë", "rates": [0.5]}
    for broken in ("{", "[1]"):
        (tmp_path / "b.json").write_text(broken)
        with pytest.raises(UserError, match=r"holds no b\.json; make it$"):
            read_json(tmp_path, "b.json", "make it")
    with pytest.raises(UserError, match="holds no c"):
        read_json(tmp_path, "c.json", "make it")


@pytest.mark.parametrize("again", [discard, clear_discarded])
def test_a_directory_is_discarded_at_once_and_what_a_kill_left_of_it_later(tmp_path, half_removed, again):
    for name in ("one.safetensors", "two.json"):
        (tmp_path / "done").mkdir(exist_ok=True)
        (tmp_path / "done" / name).write_text(name)
    half_removed("done", discard, tmp_path / "done")
    assert [path.name for path in tmp_path.iterdir()] == [".done.discarded"]
    again(tmp_path / "done")
    assert not list(tmp_path.iterdir())


def test_what_is_there_again_is_discarded_with_what_a_kill_left(tmp_path):
    for name in ("done", ".done.discarded"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    discard(tmp_path / "done")
    discard(tmp_path / "done")
    assert not list(tmp_path.iterdir())


def test_a_path_beneath_a_file_is_one_line(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UserError, match=r"page\.html"), sealed_file(tmp_path / "notes" / "page.html") as partial:
        partial.write_text("x")
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_what_has_no_name_is_no_output(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for refuse in (require_absent, require_absent_file):
        with pytest.raises(UserError, match=r"names no folder or file of its own|is a directory; name a file in it"):
            refuse(Path(name))
    with pytest.raises(UserError, match="names no folder"), sealed_directory(Path(name)):
        pass
    assert not list(tmp_path.iterdir())
