"""Who works with language models installs the extra `llm` and no other."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Commands one after the other, in an environment that has none of the libraries named first.
COMMANDS = """
import json, sys
absent, commands = json.load(sys.stdin)
sys.modules.update(dict.fromkeys(absent))
from syn2real.cli.main import app
for command in commands:
    app(command, standalone_mode=False)
import syn2real.experiments.alignment.study
import syn2real.language.tuning.tuning
import syn2real.reports.alignment
import syn2real.reports.alignment_files
print(*(name for name in sys.modules if name.startswith("syn2real.speech.")), file=sys.stderr)
"""


def brought(extra: str) -> set[str]:
    """The modules of the distributions that an extra of ours names, those of extras within it included."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found = set()
    for wanted in extras[extra]:
        name, inner = re.fullmatch(r"([\w-]+)(?:\[([\w,]+)\])?.*", wanted).groups()
        found |= set().union(*map(brought, inner.split(","))) if inner else {name.lower().replace("-", "_")}
    return found


@pytest.mark.parametrize(
    ("command", "extra"),
    [(["chat", "MODEL", "--message", "hello"], "llm"), (["transcribe", "a.wav", "-m", "MODEL"], "speech")],
)
def test_what_is_missing_is_brought_by_the_extra_of_the_command(command, extra, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    code = "import sys; sys.modules['transformers'] = None; from syn2real.cli.main import main; main()"
    given = [str(tmp_path) if part == "MODEL" else part for part in command]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and f"run `pip install 'syn2real[{extra}]'`" in done.stderr


def test_language_models_need_nothing_of_speech(chat_llama, tmp_path):
    pytest.importorskip("trl")
    absent = brought("speech") - brought("llm")
    assert {"rapidfuzz", "soundfile"} <= absent and "jinja2" not in absent
    asked = ["-p", ROOT / "data/safety/harmful_asked.jsonl", "--limit", 2, "--max-tokens", 2]
    recipe = ["run", ROOT / "recipes/safeguard_smollm2.yaml", "--set", f"model={chat_llama}", "-o", tmp_path / "run"]
    commands = [
        ["safety", "evaluate", chat_llama, *asked, "-o", tmp_path / "a"],
        ["safety", "evaluate", chat_llama, *asked, "--system", "Be kind.", "-o", tmp_path / "b"],
        ["safety", "judge", tmp_path / "a", "-j", "refusal", "--show", 1],
        ["safety", "compare", tmp_path / "a", tmp_path / "b"],
        [*recipe, "--quick", "--dry-run"],
        ["chat", chat_llama, "--message", "hello", "--max-tokens", 2],
        ["tune", "--help"],
    ]
    given = json.dumps([sorted(absent), [list(map(str, command)) for command in commands]])
    wide = os.environ | {"COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", COMMANDS], input=given, capture_output=True, text=True, env=wide)
    assert done.returncode == 0, done.stderr
    assert "attack success" in done.stdout and "stage" in done.stdout
    # The settings of training stand in the help of `finetune`, and need nothing themselves.
    assert set(done.stderr.splitlines()[-1].split()) <= {"syn2real.speech.training"}
