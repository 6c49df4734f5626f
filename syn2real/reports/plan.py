"""What a study would do, on a terminal: its stages with rough times."""

from typing import Any

from rich.console import Console

from syn2real.reports.printing import printed
from syn2real.reports.table import Row, Table
from syn2real.reports.wording import counted

MANY = {"hypotheses": "a model at a λ on recordings", "judged": "a model's answers by the judge"}


def print_plan(plan: dict[str, Any], console: Console) -> None:
    """Print the stages of a dry run, each with a rough time, and how long what is left takes. Stages of which there
    are many of a kind are one line."""
    rows = [_planned(row["name"], row["title"], [row]) for row in plan["stages"] if row["name"] not in MANY]
    for name, what in MANY.items():
        if alike := [row for row in plan["stages"] if row["name"] == name]:
            rows.append(_planned(name, f"{len(alike)} times {what}", alike))
    cells = f"{counted(plan['cells'], 'cell')}, " if "cells" in plan else ""
    title = f"{cells}{counted(len(plan['stages']), 'stage')}"
    columns = ("stage", "what", plan.get("unit", "clips"), "time of a core")
    console.print(printed(Table("", columns, tuple(rows), left=2), title))
    left = len(plan["stages"]) - plan["done"]
    console.print(
        f"{left} to do, {plan['done']} done already: roughly {_duration(plan['seconds'])} on "
        f"{counted(plan['cores'], 'core')}",
        style="bold",
        highlight=False,
    )
    for need in plan.get("needs", ()):
        console.print(_needed(need), markup=False, highlight=False, soft_wrap=True)


def _needed(need: dict[str, Any]) -> str:
    """What is not here."""
    if need["kind"] == "file":
        return f"not here: {need['what']}"
    size = f"about {need['bytes'] / 1e9:.1f} GB, by its name" if need["bytes"] else "of a size its name does not tell"
    return f"to be downloaded: {need['what']}, {size}"


def _planned(name: str, title: str, stages: list[dict[str, Any]]) -> Row:
    left = [row for row in stages if not row["done"]]
    clips = f"{sum(row['amount'] for row in stages):,.0f}"
    return Row((name, title, clips, _duration(sum(row["seconds"] for row in left)) if left else "done"))


def _duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    for size, unit in ((86_400, "days"), (3_600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
