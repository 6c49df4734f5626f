"""A study of gender bias, or one measurement, on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from syn2real.language.bias.answering import Answered
from syn2real.reports import bias_tables as tables
from syn2real.reports.printing import print_table


def print_study(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.experiments.bias.study.study_record` made."""
    print_table(tables.gaps_table(record), record["title"], console)
    print_table(tables.ratios_table(record), "What reinforcement gained", console)
    print_table(tables.mitigation_table(record), "Asking for fairness", console)


def print_provoked(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real bias provoke` made."""
    print_table(tables.curve_table(record), f"Against {record['target']}", console)
    card = record["cases"]
    console.print(
        f"{card['test']} cases to test with, {card['pool']} to demonstrate, of {card['written']} sentences; "
        f"Self-BLEU 4: {card['self_bleu']['4']:.1f}",
        markup=False,
        highlight=False,
    )


def print_measurement(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real bias measure` found."""
    print_table(tables.evaluation_table(record), "Gender bias", console)


def print_mitigation(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real bias mitigate` found."""
    print_table(tables.mitigation_table(record), "Asking for fairness", console)


def print_widest(rows: Sequence[Answered], count: int, console: Console) -> None:
    """Print the cases of the widest gaps with their answers."""
    for row in sorted(rows, key=lambda row: (-row.gap, row.case.id))[:count]:
        console.print(f"\ngap {row.gap:.3f}", markup=False, highlight=False)
        for text, answer in ((row.case.text, row.first), (row.case.twin, row.second)):
            console.print(f"  {text}\n    {answer}", markup=False, highlight=False)
