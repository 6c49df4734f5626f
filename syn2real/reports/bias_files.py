"""The files of the report on a study of gender bias: the page, its Markdown twin, and the pictures."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from syn2real.language.bias.answering import Answered, read_answered
from syn2real.reports import bias_tables as tables
from syn2real.reports.bias_pictures import draw_gaps, draw_learning
from syn2real.reports.page import render
from syn2real.reports.table import Row, Table, markdown_text
from syn2real.sealing import sealed_file, write_text

PAGE, MARKDOWN, GAPS, LEARNING = "report.html", "report.md", "gaps.png", "learning.png"
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
    pictures = {GAPS: draw_gaps(record), LEARNING: draw_learning(record)}
    for name, picture in pictures.items():
        with sealed_file(directory / name) as partial:
            partial.write_bytes(picture)
    sections = _sections(record, directory if show else None)
    write_text(directory / MARKDOWN, _markdown(record, sections, show))
    page = render(
        "bias.html",
        title=record["title"],
        note=record["note"],
        sections=[
            (name, table, b64encode(pictures[picture]).decode() if picture else "") for name, table, picture in sections
        ],
        redacted=SHOWN if show else REDACTED,
        versions=record["versions"],
    )
    write_text(directory / PAGE, page)


def _sections(record: dict[str, Any], shown: Path | None) -> list[tuple[str, Table, str]]:
    found = [
        ("", tables.gaps_table(record), GAPS),
        ("What reinforcement gained", tables.ratios_table(record), LEARNING),
        ("How varied the cases are", tables.sets_table(record), ""),
        ("Asking for fairness", tables.mitigation_table(record), ""),
        ("The targets beside each other", tables.between_table(record), ""),
    ]
    if shown is not None:
        found += [
            (f"Widest gaps, {name}", _examples(example, shown), "") for name, example in record["examples"].items()
        ]
    return [section for section in found if section[1].rows]


def _examples(example: dict[str, Any], directory: Path) -> Table:
    known = {row.case.id: row for row in read_answered(directory / example["stage"] / example["file"])}
    rows = [row for name in example["ids"] for row in _both(known[name])]
    return Table("", ("sentence and twin", "answer", "gap"), tuple(rows), SHOWN, left=2)


def _both(row: Answered) -> list[Row]:
    return [Row((row.case.text, row.first, f"{row.gap:.3f}")), Row((row.case.twin, row.second, ""))]


def _markdown(record: dict[str, Any], sections: list[tuple[str, Table, str]], show: bool) -> str:
    lines = [f"# {markdown_text(record['title'])}", "", *([record["note"], ""] if record["note"] else [])]
    for name, table, picture in sections:
        lines += [*([f"## {name}", ""] if name else []), *table.markdown(), ""]
        lines += [f"![{name or 'gaps by set of cases'}]({picture})", ""] if picture else []
    return "\n".join([*lines, SHOWN if show else REDACTED, ""])
