"""Tables and aligned words on a terminal."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Printed
from rich.text import Text

from syn2real.reports.table import Table
from syn2real.speech.scoring import Edit

_STYLES = {"headline": "bold", "oracle": "dim"}


def printed(table: Table, title: str = "") -> Printed:
    """A table for a rich console."""
    shown = Printed(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for place, column in enumerate(table.columns):
        shown.add_column(escape(column), justify="left" if place < table.left else "right")
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


def marked(edits: Iterable[Edit]) -> Text:
    """What was heard in one line, the errors marked: ``[said→heard]``, ``[-dropped-]``, ``[+added+]``."""
    line = Text()
    for edit in edits:
        if edit.op == "equal":
            line.append(f"{edit.reference} ")
        elif edit.op == "substitute":
            line.append(f"[{edit.reference}→{edit.hypothesis}] ", style="red")
        elif edit.op == "delete":
            line.append(f"[-{edit.reference}-] ", style="red")
        else:
            line.append(f"[+{edit.hypothesis}+] ", style="yellow")
    line.rstrip()
    return line
