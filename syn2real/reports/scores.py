"""Scores on a terminal: of one system, of several, and what was heard wrongly."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from syn2real.reports import score_tables as tables
from syn2real.reports.printing import marked, printed
from syn2real.reports.table import Table
from syn2real.speech.normalisation import Normaliser
from syn2real.speech.scoring import Pair, alignment

_MOST = 8  # rows of confusions and the like; the page and the JSON have more


def print_evaluation(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.speech.evaluation.evaluation` made."""
    _print(tables.rates_table(record), "", console)
    for name, table in tables.group_tables(record):
        _print(table, f"By {name}", console)
    _print(tables.keywords_table(record, _MOST), "Keywords", console)
    _print(tables.confusions_table(record, _MOST), "Most frequent errors", console)
    if "paired" in record:
        _print(tables.changed_table(record, _MOST), "Words found more or less often", console)
        console.print(tables.against(record["paired"]), markup=False, highlight=False)


def print_comparison(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.speech.evaluation.comparison` made."""
    _print(tables.systems_table(record), "", console)
    _print(tables.tests_table(record), "", console)


def print_alignments(pairs: Sequence[Pair], clean: Normaliser, console: Console) -> None:
    """Print what was heard, the errors marked, one utterance a line."""
    for pair in pairs:
        edits = marked(alignment(clean(pair.reference), clean(pair.hypothesis)))
        console.print(Text.assemble((f"{pair.id}  ", "dim"), edits), highlight=False)


def _print(table: Table | None, title: str, console: Console) -> None:
    if table is None:
        return
    console.print(printed(table, title))
    if table.note:
        console.print(table.note, style="dim", markup=False, highlight=False)
