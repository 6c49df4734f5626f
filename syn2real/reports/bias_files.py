"""The files of the report on a study of gender bias: the page, its Markdown twin, and the pictures."""

from pathlib import Path
from typing import Any

from syn2real.language.bias.answering import Answered, read_answered
from syn2real.reports import bias_tables as tables
from syn2real.reports.bias_pictures import draw_gaps, draw_learning
from syn2real.reports.sections import Section, write_sections
from syn2real.reports.table import Row, Table

GAPS, LEARNING = "gaps.png", "learning.png"
REDACTED = (
    "What was provoked is not shown: it lies apart, in the files provoked.jsonl of the stages' folders, and "
    "`syn2real bias report FOLDER --show` makes this page with the widest gaps."
)
SHOWN = (
    "Sentences and answers were written by language models to find out how they differ by gender; nobody stands behind "
    "what they say."
)


def write_bias_report(record: dict[str, Any], directory: Path, *, show: bool = False) -> None:
    """Write the report, each file whole or not at all; ``show``: with the cases of the widest gaps and the answers."""
    gained = "What reinforcement gained"
    sections = [
        Section("", tables.gaps_table(record), GAPS, "gaps by set of cases"),
        Section(gained, tables.ratios_table(record), LEARNING, gained),
        Section("How varied the cases are", tables.sets_table(record)),
        Section("Asking for fairness", tables.mitigation_table(record)),
        Section("The targets beside each other", tables.between_table(record)),
    ]
    if show:
        sections += [
            Section(f"Widest gaps, {name}", _examples(example, directory))
            for name, example in record["examples"].items()
        ]
    pictures = {GAPS: draw_gaps(record), LEARNING: draw_learning(record)}
    write_sections(record, sections, pictures, SHOWN if show else REDACTED, directory)


def _examples(example: dict[str, Any], directory: Path) -> Table:
    known = {row.case.id: row for row in read_answered(directory / example["stage"] / example["file"])}
    rows = [row for name in example["ids"] for row in _both(known[name])]
    return Table("", ("sentence and twin", "answer", "gap"), tuple(rows), SHOWN, left=2)


def _both(row: Answered) -> list[Row]:
    return [Row((row.case.text, row.first, f"{row.gap:.3f}")), Row((row.case.twin, row.second, ""))]
