"""Lines that are added one by one: whole, or it is told."""

import subprocess
import sys

import pytest

from syn2real.errors import UserError
from syn2real.lines import append_jsonl, appended_jsonl, read_jsonl

FULL = """
import resource
import sys
from pathlib import Path

from syn2real.errors import UserError
from syn2real.lines import append_jsonl

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = Path(sys.argv[1])
append_jsonl(path, [{"row": "a" * 600}])
try:
    append_jsonl(path, [{"row": "b" * 600}])
except UserError as error:
    print(error)
"""


def test_a_row_that_a_full_disk_cuts_short_is_told_and_passed_over(tmp_path):
    path = tmp_path / "rows.jsonl"
    told = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True).stdout
    assert told == f"{path}: File too large; make room, and start again\n"
    assert path.stat().st_size == 1000
    assert list(appended_jsonl(path)) == [{"row": "a" * 600}]
    append_jsonl(path, [{"row": "c"}])
    assert list(appended_jsonl(path)) == [{"row": "a" * 600}, {"row": "c"}]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (r'{"text": "so \ud83d"}', r"half a character, \\ud83d; write it whole or drop it"),
        (r'{"text": "so", "x": ["\udE00"]}', r"half a character, \\ude00"),
        ('{"x": 1' + "0" * 5000 + "}", "a number too long"),
        ('{"x": ' + "[" * 100_000 + "]" * 100_000 + "}", "brackets too deep"),
    ],
)
def test_lines_that_could_not_be_written_again_are_named(tmp_path, line, problem):
    path = tmp_path / "rows.jsonl"
    path.write_text(r'{"text": "\ud83d\ude00 \\ud83d"}' + f"\n{line}\n")
    rows = read_jsonl(path)
    assert next(rows) == (1, {"text": "😀 \\ud83d"})
    with pytest.raises(UserError, match=f"rows.jsonl:2: .*{problem}"):
        next(rows)
