"""What a grid's report says, checked against the record it says it of."""

from copy import deepcopy
from typing import Any

import pytest
from grid_records import whole_grid

from syn2real.reports import grid_tables as tables
from syn2real.reports import grid_wording as words
from syn2real.reports.table import Row, Table, markdown_text
from syn2real.reports.wording import change, percent


@pytest.fixture(scope="module")
def grid_record() -> dict[str, Any]:
    return whole_grid()


@pytest.fixture
def group(grid_record: dict[str, Any]) -> dict[str, Any]:
    return grid_record["comparison"]["groups"][0]


def test_headlines_name_the_windows_of_one_condition(grid_record):
    short, full = words.headlines(grid_record)
    assert short.startswith("Short windows: WER ") and full.startswith("30 s windows, as in plain transformers: WER ")
    micro = words.system(words.groups(grid_record)[0], "syn2real")["against_baseline"]["micro"]
    assert f"{100 * micro['relative']:.0f} % fewer errors than tuning on synthetic speech alone (95 % interval" in short
    assert f"{100 * micro['rate_b']:.1f} % → {100 * micro['rate_a']:.1f} %" in short


def test_a_worse_headline_is_said_to_be_worse(grid_record):
    turned = deepcopy(grid_record)
    turned["comparison"] |= {"headline": "target-synthetic", "baseline": "syn2real"}
    for group in words.groups(turned):
        test = words.between(group, "target-synthetic", "syn2real")
        words.system(group, "target-synthetic")["against_baseline"] = {"micro": test}
    line = words.headlines(turned)[0]
    low, high = -100 * test["relative_high"], -100 * test["relative_low"]
    of_full = words.headlines(turned)[1]
    assert "more errors than SYN2REAL" in line and f"interval {low:.0f} to {high:.0f} %".replace("-", "−") in of_full


def test_without_either_system_there_is_no_headline(grid_record):
    bare = deepcopy(grid_record)
    bare["comparison"]["headline"] = "syn2real-mixed"
    assert words.headlines(bare) == ["SYN2REAL, started from source mixed and target, synthetic were not both heard."]


def test_a_pair_reads_the_same_from_both_sides(group):
    there, back = words.between(group, "syn2real", "average"), words.between(group, "average", "syn2real")
    assert there["p_holm"] == back["p_holm"] and there["difference"] == -back["difference"]
    assert (1 - there["relative"]) * (1 - back["relative"]) == pytest.approx(1)
    assert (1 - there["relative_low"]) * (1 - back["relative_high"]) == pytest.approx(1)
    assert there["low"] <= there["difference"] <= there["high"] and back["low"] <= back["difference"] <= back["high"]
    assert there["rate_a"] == back["rate_b"] == words.system(group, "syn2real")["wer"]
    assert words.between(group, "syn2real", "nothing") is None


def test_claims_are_of_the_pairs(group, grid_record):
    claims = words.claims(group, grid_record["comparison"])
    assert len(claims) == 7
    topline = next(claim for claim in claims if "topline" in claim)
    pair = words.between(group, "syn2real", "target-real")
    assert pair["difference"] > 0 and topline.startswith(f"{-100 * pair['relative']:.1f} % more errors than “target")


def test_systems_come_in_their_order_and_oracles_after_their_own(group):
    shuffled = sorted(row["name"] for row in group["systems"])
    ordered = words.ordered([*shuffled, "something new"])
    assert ordered[0] == "zero-shot" and ordered[-2:] == ["target-real", "something new"]
    place = ordered.index("syn2real")
    assert sorted(ordered[place + 1 : place + 3]) == ["syn2real (labelled)", "syn2real (oracle)"]
    shown = [row.cells[0] for row in tables.systems_table(group, _comparison(group)).rows]
    assert {"SYN2REAL, oracle λ", "SYN2REAL, λ by others' labels"} <= set(shown)


def test_missing_cells_are_marked_and_named(group, grid_record):
    broken = deepcopy(group)
    words.system(broken, "syn2real")["missing"] = [{"target": "music", "seed": 2}]
    table = tables.systems_table(broken, grid_record["comparison"])
    marked = [row.cells[0] for row in table.rows if words.MARK in row.cells[0]]
    assert marked == ["SYN2REAL †"]
    assert "† without music (seed 2): “SYN2REAL”." in table.note
    assert words.MARK not in tables.systems_table(group, grid_record["comparison"]).note


def test_every_table_is_as_wide_as_its_head(grid_record, group):
    comparison = grid_record["comparison"]
    made = [
        tables.systems_table(group, comparison),
        tables.details_table(group, comparison),
        tables.domains_table(group, comparison),
        tables.scales_table(grid_record, group),
        tables.groups_table(grid_record, group),
        tables.sums_table(grid_record, group),
        tables.forgetting_table(group, comparison),
        tables.targets_table(grid_record),
    ]
    for table in made:
        assert table is not None and table.rows
        assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    assert tables.conditions_table(grid_record) is None and tables.failures_table(grid_record) is None


@pytest.mark.parametrize(
    ("relative", "shown"), [(0.0, "0.0 %"), (0.0004, "0.0 %"), (0.25, "−25.0 %"), (-1, "+100.0 %")]
)
def test_a_change_has_a_sign_unless_it_is_none(relative, shown):
    assert change(relative) == shown


def test_oracles_cost_is_told_of_systems_that_have_one(grid_record, group):
    (row,) = tables.scales_table(grid_record, group).rows
    assert row.cells[:3] == ("SYN2REAL", "proxy domains", "1 to 1.3")
    labelled, pair = (
        words.system(group, "syn2real (labelled)"),
        words.between(group, "syn2real", "syn2real (labelled)"),
    )
    assert row.cells[8:10] == (percent(labelled["wer"]), change(pair["relative"]))


@pytest.mark.parametrize("text", ["a|b", "<b>x</b>", "*star* _line_", "`tick`", "[x](y)", "# head", "\\"])
def test_markdown_shows_text_as_it_is(text):
    shown = markdown_text(text)
    plain = shown.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")
    assert plain == text
    for place, character in enumerate(shown):
        assert character not in "|<*_`[#" or shown[place - 1] == "\\"


def test_markdown_keeps_a_cell_on_its_line():
    table = Table("", ("a", "b"), (Row(("x\ny", "1"), "headline"),), "note")
    assert table.markdown() == ["| a | b |", "| --- | ---: |", "| **x y** | **1** |", "", "note"]


def _comparison(group: dict[str, Any]) -> dict[str, Any]:
    return {
        "baseline": "target-synthetic",
        "headline": "syn2real",
        "repeated": "seed",
        "level": 0.95,
        "draws": 300,
        "normaliser": "basic",
    }
