"""The list of stages that a dry run came by, for a terminal."""

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_plan(plan: dict[str, Any], console: Console) -> None:
    """Print the stages by kind, each training by name, and the estimate."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("stage")
    for name in ("clips", "core minutes"):
        table.add_column(name, justify="right")
    table.add_column("")
    stages = plan["stages"]
    for row in stages:
        if row["name"] != "hypotheses":
            _add(table, f"{row['name']}: {row['title']}", [row], "done" if row["done"] else "")
    heard = [row for row in stages if row["name"] == "hypotheses"]
    done = sum(row["done"] for row in heard)
    _add(table, f"hypotheses: {len(heard)} times", heard, f"{done} done" if done else "")
    console.print(table)
    left = len(stages) - plan["done"]
    console.print(
        f"{plan['cells']} cells, {len(stages)} stages, {plan['done']} done; the other {left} take about "
        f"{_time(plan['seconds'])} on {plan['cores']} CPU cores (a rough estimate; a GPU needs a small part of it)",
        highlight=False,
    )


def _add(table: Table, title: str, rows: list[dict[str, Any]], note: str) -> None:
    clips, minutes = sum(row["amount"] for row in rows), sum(row["seconds"] for row in rows) / 60
    table.add_row(escape(title), f"{clips:.0f}", f"{minutes:.1f}", note)


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
