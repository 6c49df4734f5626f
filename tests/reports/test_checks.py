"""The report of a check: the same figures in terminal, JSON and picture."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from syn2real.reports.checks import draw_check, print_check, write_check


def record(groups: int = 3, heard: bool = True) -> dict[str, Any]:
    """What a check of so many voices of 40 clips found; the second had two rejected."""
    rates = {"cer": 0.238, "ci_low": 0.175, "ci_high": 0.302} if heard else dict.fromkeys(("cer", "ci_low", "ci_high"))
    row = {"clips": 40, "minutes": 1.44, "seconds_per_letter": 0.0616, **rates, "rejected": 0, "flagged": 0}
    rows = [row | {"voice": f"[voice {number}]"} for number in range(groups)]
    rows[1] |= {"rejected": 2, "flagged": 5}
    reasons = [{"kind": "misheard", "value": 1.5, "limit": 0.45, "says": "misheard: CER 150% (limit 45%)"}]
    rejected = [{"id": f"c{n}", "voice": "[voice 1]", "text": "music [on]", "reasons": reasons} for n in range(2)]
    return {
        "recogniser": "whisper-base" if heard else None,
        "normaliser": "english" if heard else None,
        "limits": {},
        "by": "voice",
        "all": row | {"clips": 40 * groups, "rejected": 2, "flagged": 5},
        "groups": rows,
        "reasons": {"rejected": {"misheard": 2}, "flagged": {"pace": 5}},
        "rejected": rejected,
        "flagged": [],
    }


@pytest.mark.parametrize("heard", [True, False])
def test_the_terminal_has_a_row_for_each_voice_and_says_why(heard):
    screen = io.StringIO()
    print_check(record(heard=heard), "menu", Console(file=screen, width=120))
    text = screen.getvalue()
    rows = [line.split() for line in text.splitlines() if "[voice" in line]
    assert [row[:2] for row in rows] == [["[voice", f"{n}]"] for n in range(3)]
    assert rows[1][-2:] == ["2", "5"] and rows[0][-2:] == ["–", "–"]
    assert ("23.8 %" in text and "17.5–30.2" in text) == heard
    assert "rejected: misheard 2" in text and "flagged: pace 5" in text
    assert "c1 ('music [on]'): misheard: CER 150% (limit 45%)" in text


def test_files_hold_the_same(tmp_path):
    write_check(record(), tmp_path)
    assert json.loads((tmp_path / "check.json").read_text()) == record()
    lines = (tmp_path / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["c0", "c1"]
    assert (tmp_path / "check.png").read_bytes() == draw_check(record())


def test_the_picture_grows_with_the_voices_up_to_a_page():
    low, high, page = (int.from_bytes(draw_check(record(count, heard=False))[20:24]) for count in (2, 40, 300))
    assert low < high == page
