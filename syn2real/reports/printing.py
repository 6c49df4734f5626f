"""Tables on a terminal."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Printed

from syn2real.reports.table import Table

_STYLES = {"headline": "bold", "oracle": "dim"}


def printed(table: Table, title: str = "") -> Printed:
    """A table for a rich console."""
    shown = Printed(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for place, column in enumerate(table.columns):
        shown.add_column(escape(column), justify="left" if place < table.left else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(escape, row.cells), style=_STYLES.get(row.kind))
    return shown


def print_table(table: Table | None, title: str, console: Console) -> None:
    """Print a table, if there is one, with its note."""
    if table is None:
        return
    console.print(printed(table, title))
    if table.note:
        console.print(table.note, style="dim", markup=False, highlight=False)
