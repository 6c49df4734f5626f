"""Scores on a terminal: of one system, of several, and what was heard wrongly."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from syn2real.reports import score_tables as tables
from syn2real.reports.printing import print_table
from syn2real.speech.normalisation import Normaliser
from syn2real.speech.scoring import Edit, Pair, alignment

_MOST = 8  # rows of confusions and the like; the page and the JSON have more


def print_evaluation(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.speech.evaluation.evaluation` made."""
    print_table(tables.rates_table(record), "", console)
    for name, table in tables.group_tables(record):
        print_table(table, f"By {name}", console)
    print_table(tables.keywords_table(record, _MOST), "Keywords", console)
    print_table(tables.confusions_table(record, _MOST), "Most frequent errors", console)
    if "paired" in record:
        print_table(tables.changed_table(record, _MOST), "Words found more or less often", console)
        console.print(tables.against(record["paired"]), markup=False, highlight=False)


def print_comparison(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.speech.evaluation.comparison` made."""
    print_table(tables.systems_table(record), "", console)
    print_table(tables.tests_table(record), "", console)


def print_alignments(pairs: Sequence[Pair], clean: Normaliser, console: Console) -> None:
    """Print what was heard, the errors marked, one utterance a line."""
    for pair in pairs:
        edits = marked(alignment(clean(pair.reference), clean(pair.hypothesis)))
        console.print(Text.assemble((f"{pair.id}  ", "dim"), edits), highlight=False)


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
