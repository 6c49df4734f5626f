"""A study of language models on a terminal."""

from typing import Any

from rich.console import Console

from syn2real.reports import alignment_tables as tables
from syn2real.reports.printing import print_table


def print_alignment(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.experiments.alignment.study.study_record` made."""
    print_table(tables.systems_table(record), record["title"], console)
    print_table(tables.differences_table(record), "Differences", console)
    print_table(tables.curves_table(record), "Validation", console)
