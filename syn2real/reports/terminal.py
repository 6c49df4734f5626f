"""The table of systems for a terminal."""

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from syn2real.reports.wording import (
    choice,
    headlines,
    interval,
    intervals_by,
    is_adapted,
    label,
    p_value,
    percent,
    relative,
    window,
)


def print_results(record: dict[str, Any], console: Console) -> None:
    """Print a study's tables and its headline."""
    console.print(_table(record["title"], record["systems"]))
    if record["strict"]:
        console.print(_table("Stricter: half of the phrases synthesised, the other half tested", record["strict"]))
    scale = record["lambda"]
    console.print(
        f"{choice(scale)} (oracle on the test recordings themselves: {scale['oracle']:g})",
        markup=False,
        highlight=False,
    )
    console.print(intervals_by(record["systems"]), style="dim", highlight=False)
    for line in headlines(record["systems"]):
        console.print(line, style="bold", highlight=False)


def _table(title: str, systems: list[dict[str, Any]]) -> Table:
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.add_column("system")
    table.add_column("window")
    for name in ("WER", "interval", "S / D / I", "errors", "p", "sign flips"):
        table.add_column(name, justify="right")
    for system in systems:
        counts = system["counts"]
        table.add_row(
            label(system),
            window(system),
            percent(system["wer"]),
            interval(system),
            f"{counts['substitutions']} / {counts['deletions']} / {counts['insertions']}",
            relative(system),
            p_value(system["p"]),
            p_value(system["flip_p"]),
            style="bold" if is_adapted(system) else None,
        )
    return table
