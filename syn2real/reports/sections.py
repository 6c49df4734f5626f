"""Reports that are tables one after the other, some with a picture: a page, its twin in Markdown, the pictures."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.reports.page import render
from syn2real.reports.table import Table, markdown_text
from syn2real.sealing import write_bytes, write_text

PAGE, MARKDOWN = "report.html", "report.md"


@dataclass(frozen=True)
class Section:
    """A table under a heading, which the first lacks; ``picture`` is the name of its file, ``shows`` what it is of."""

    heading: str
    table: Table
    picture: str = ""
    shows: str = ""


def write_sections(
    record: dict[str, Any], sections: Sequence[Section], pictures: Mapping[str, bytes], closing: str, directory: Path
) -> None:
    """Write the report on a study's record, each file whole or not at all; sections without rows are left out.

    ``pictures`` are PNGs by file name, ``closing`` is the last paragraph. The page has the pictures inside it, the
    Markdown links them.
    """
    for name, picture in pictures.items():
        write_bytes(directory / name, picture)
    kept = [section for section in sections if section.table.rows]
    write_text(directory / MARKDOWN, _markdown(record, kept, closing))
    page = render(
        "sections.html",
        record=record,
        sections=kept,
        pictures={name: b64encode(picture).decode() for name, picture in pictures.items()},
        closing=closing,
    )
    write_text(directory / PAGE, page)


def _markdown(record: dict[str, Any], sections: Sequence[Section], closing: str) -> str:
    lines = [f"# {markdown_text(record['title'])}", "", *([record["note"], ""] if record["note"] else [])]
    for section in sections:
        lines += [*([f"## {section.heading}", ""] if section.heading else []), *section.table.markdown(), ""]
        lines += [f"![{section.shows}]({section.picture})", ""] if section.picture else []
    return "\n".join([*lines, closing, ""])
