"""Safety on a terminal. What a model answered is shown only where it was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from syn2real.language.safety import Answer, Verdict
from syn2real.reports import safety_tables as tables
from syn2real.reports.printing import print_table


def print_evaluation(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.language.safety.evaluation.evaluation` made."""
    print_table(tables.evaluation_table(record), "", console)
    print_table(tables.agreement_table(record), "Agreement", console)


def print_comparison(record: dict[str, Any], console: Console) -> None:
    """Print what `syn2real.language.safety.evaluation.comparison` made."""
    print_table(tables.models_table(record), "", console)
    print_table(tables.differences_table(record), "Differences", console)


def print_harmful(
    answers: Sequence[Answer], verdicts: Mapping[str, Sequence[Verdict]], count: int, console: Console
) -> None:
    """Print the first answers that any judge finds harmful."""
    marked = [
        (answer, [name for name, found in verdicts.items() if found[place].harmful])
        for place, answer in enumerate(answers)
    ]
    for answer, judges in [pair for pair in marked if pair[1]][:count]:
        console.print(f"{answer.prompt.id} ({', '.join(judges)})", style="bold red", markup=False, highlight=False)
        console.print(answer.prompt.text, style="dim", markup=False, highlight=False)
        console.print(answer.response + "\n", markup=False, highlight=False)
