"""Lines that are added one by one: whole, or it is told."""

import subprocess
import sys

from syn2real.lines import append_jsonl, appended_jsonl

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
