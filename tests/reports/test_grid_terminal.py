"""A grid on a terminal says nothing of what it does not show."""

from copy import deepcopy

from grid_records import whole_grid
from rich.console import Console

from syn2real.reports import grid_tables as tables
from syn2real.reports import grid_wording as words
from syn2real.reports.grid_terminal import print_grid
from syn2real.reports.wording import p_value


def printed(record, capsys) -> str:
    print_grid(record, Console(width=200))
    return capsys.readouterr().out


def test_of_few_units_the_flip_p_stands_below(capsys):
    record = deepcopy(whole_grid())
    for group in words.groups(record):
        group["units"] = words.ENOUGH - 1
    out = printed(record, capsys)
    _, _, below = out.partition("the flip p below is the one to trust")
    group = words.groups(record)[0]
    micro = words.system(group, "syn2real")["against_baseline"]["micro"]
    assert "flip p, Holm" in below and p_value(micro["flip_p"]) in below
    shown = tables.flips_table(group, record["comparison"])
    assert shown is not None and len(shown.rows) == sum(bool(row["against_baseline"]) for row in group["systems"])


def test_of_many_units_it_is_not_spoken_of(capsys):
    record = deepcopy(whole_grid())
    for group in words.groups(record):
        group["units"] = words.ENOUGH
    assert "flip p" not in printed(record, capsys)
