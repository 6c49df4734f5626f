"""Utility on a terminal."""

from typing import Any

from rich.console import Console

from syn2real.reports import utility_tables as tables
from syn2real.reports.printing import print_table


def print_evaluation(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.language.utility.folder.evaluate` made."""
    print_table(tables.evaluation_table(record), "", console)


def print_comparison(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.language.utility.evaluation.comparison` made."""
    print_table(tables.models_table(record), "", console)
    print_table(tables.differences_table(record), "Differences", console)
