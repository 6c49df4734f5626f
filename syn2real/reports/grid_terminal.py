"""A grid's findings on a terminal."""

from typing import Any

from rich.console import Console

from syn2real.reports import grid_tables as tables
from syn2real.reports import grid_wording as words
from syn2real.reports.printing import print_table, printed
from syn2real.reports.wording import WINDOWS


def print_grid(record: dict[str, Any], console: Console) -> None:
    """Print the tables of systems, what failed and what leaks, and the headlines last."""
    comparison = record["comparison"]
    for group in (group for windows in words.conditions(record) for group in windows):
        title = f"{words.condition_name(group)}, {WINDOWS[group['window']]}"
        print_table(tables.systems_table(group, comparison), title, console)
        print_table(tables.flips_table(group, comparison), "", console)
    for title, extra in (("Overview", tables.conditions_table(record)), ("Failed", tables.failures_table(record))):
        if extra is not None:
            console.print(printed(extra, title))
    for leak in record["leaks"]:
        console.print(f"leak: {leak}", style="bold red", markup=False, highlight=False)
    for line in words.headlines(record):
        console.print(line, style="bold", markup=False, highlight=False)
