"""The collector rests during imports, and only then; and what a command does not use it does not import."""

import gc
import json
import subprocess
import sys

import pytest

from syn2real.cli.startup import importing, load_recognisers


@pytest.fixture(autouse=True)
def _thawed():
    yield
    gc.unfreeze()


def test_the_collector_goes_on_afterwards():
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled() and gc.get_freeze_count() >= before + len(kept)


def test_a_failed_import_does_not_leave_it_off():
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_recognisers_are_loaded_once():
    pytest.importorskip("transformers")
    load_recognisers()
    assert "transformers.models.whisper.modeling_whisper" in sys.modules
    before = gc.get_freeze_count()
    load_recognisers()
    assert gc.isenabled() and gc.get_freeze_count() == before


EVERY_HELP = """
import sys, typer
from syn2real.cli.main import app

def walk(command, names):
    try:
        app([*names, "--help"], standalone_mode=False)
    except SystemExit:
        pass
    for name, below in getattr(command, "commands", {}).items():
        walk(below, [*names, name])

walk(typer.main.get_command(app), [])
"""
LOADED = """
import json, sys
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""
HEAVY = {"torch", "transformers", "numpy", "peft", "matplotlib", "rapidfuzz", "soundfile", "ray"}


def loaded(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code + LOADED, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return HEAVY & set(json.loads(done.stderr.splitlines()[-1]))


def test_no_help_imports_anything_heavy():
    assert not loaded(EVERY_HELP)


def test_scoring_needs_no_recogniser(tmp_path):
    for name in ("ref", "one", "two"):
        (tmp_path / f"{name}.txt").write_text("a b\nc d\n")
    ref, one, two = (tmp_path / f"{name}.txt" for name in ("ref", "one", "two"))
    run = "import sys; from syn2real.cli.main import app; app(sys.argv[1:], standalone_mode=False)"
    for command in (["score", ref, one, "--show", 1], ["compare", ref, one, two]):
        assert loaded(run, *command, "-n", "none") == {"numpy", "rapidfuzz"}
    assert {"numpy", "rapidfuzz", "transformers"} == loaded(
        run, "score", ref, one, "-n", "basic", "--against", two, "--json"
    )
