"""The files of a report: the page, and the picture of the λ curve that is in it."""

from pathlib import Path
from typing import Any

from syn2real.reports.curve import draw_curve
from syn2real.reports.study_page import render_study
from syn2real.sealing import write_bytes, write_text

REPORT, PICTURE = "report.html", "lambda.png"


def write_report(record: dict[str, Any], directory: Path) -> None:
    """Write the report of an evaluated study, each file whole or not at all."""
    picture = draw_curve(record)
    write_bytes(directory / PICTURE, picture)
    write_text(directory / REPORT, render_study(record, picture))


def remove_report(directory: Path) -> None:
    """Remove what `write_report` wrote, if it did."""
    for name in (REPORT, PICTURE):
        (directory / name).unlink(missing_ok=True)
