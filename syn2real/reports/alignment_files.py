"""The files of the report on a study of language models: the page, its Markdown twin, and the picture."""

from pathlib import Path
from typing import Any

from syn2real.reports import alignment_tables as tables
from syn2real.reports.alignment_picture import draw_pareto
from syn2real.reports.sections import Section, write_sections

PICTURE = "pareto.png"
REDACTED = (
    "What the models answered to harmful requests is not shown here; it lies in the stages' folders, and "
    "`syn2real safety judge FOLDER -j refusal --show N` prints it."
)


def write_alignment_report(record: dict[str, Any], directory: Path) -> None:
    """Write the report, each file whole or not at all."""
    sections = [
        Section("", tables.systems_table(record), PICTURE, "the task against attack success"),
        Section("Beside the fine-tuned model", tables.differences_table(record)),
        Section("How each merge was chosen", tables.curves_table(record)),
        Section("Seed by seed", tables.seeds_table(record)),
    ]
    write_sections(record, sections, {PICTURE: draw_pareto(record)}, REDACTED, directory)
