"""The files of the report on a study of language models: the page, its Markdown twin, and the picture."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from syn2real.reports import alignment_tables as tables
from syn2real.reports.alignment_picture import draw_pareto
from syn2real.reports.page import render
from syn2real.reports.table import Table, markdown_text
from syn2real.sealing import sealed_file, write_text

PAGE, MARKDOWN, PICTURE = "report.html", "report.md", "pareto.png"
REDACTED = (
    "What the models answered to harmful requests is not shown here; it lies in the stages' folders, and "
    "`syn2real safety judge FOLDER -j refusal --show N` prints it."
)


def write_alignment_report(record: dict[str, Any], directory: Path) -> None:
    """Write the report, each file whole or not at all."""
    picture = draw_pareto(record)
    with sealed_file(directory / PICTURE) as partial:
        partial.write_bytes(picture)
    sections = _sections(record)
    write_text(directory / MARKDOWN, _markdown(record, sections))
    page = render(
        "alignment.html",
        title=record["title"],
        note=record["note"],
        sections=sections,
        picture=b64encode(picture).decode(),
        redacted=REDACTED,
        versions=record["versions"],
    )
    write_text(directory / PAGE, page)


def _sections(record: dict[str, Any]) -> list[tuple[str, Table]]:
    found = [
        ("", tables.systems_table(record)),
        ("Beside the fine-tuned model", tables.differences_table(record)),
        ("How each merge was chosen", tables.curves_table(record)),
        ("Seed by seed", tables.seeds_table(record)),
    ]
    return [(name, table) for name, table in found if table.rows]


def _markdown(record: dict[str, Any], sections: list[tuple[str, Table]]) -> str:
    lines = [f"# {markdown_text(record['title'])}", "", *([record["note"], ""] if record["note"] else [])]
    for name, table in sections:
        lines += [*([f"## {name}", ""] if name else []), *table.markdown(), ""]
        if not name:
            lines += [f"![the task against attack success]({PICTURE})", ""]
    return "\n".join([*lines, REDACTED, ""])
