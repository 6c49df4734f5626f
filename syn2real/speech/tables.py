"""CSV and TSV files with a header, row by row with line numbers."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at, did_you_mean
from syn2real.lines import read_lines


def read_table(path: Path, *required: str, tabs: bool | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column name of each row, split at ``tabs`` (TSV) or at commas (CSV); where that is not
    given, ``.tsv`` is split at tabs and anything else at what splits its first line: commas, semicolons or tabs.

    In TSV a quotation mark is a character like any other. Raises `UserError` naming file and line for a missing
    column, one that is there twice, a row of another width, broken quotation and text that is not UTF-8.
    """
    for _ in read_lines(path):  # names the line that is not UTF-8, which the csv module would not
        pass
    options: dict[str, Any] = {"strict": True}
    if path.suffix.lower() == ".tsv" if tabs is None else tabs:
        options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    with path.open(encoding="utf-8-sig", newline="") as file:
        if tabs is None and "delimiter" not in options:
            first = file.readline()
            options["delimiter"] = next((sign for sign in ",;\t" if sign in first), ",")
            file.seek(0)
        rows = csv.reader(file, **options)
        try:
            header = [name.strip() for name in next(rows, [])]
            for name in required:
                if name not in header:
                    problem = f"no column {name!r}{did_you_mean(name, header)}; the first line names the columns"
                    raise UserError(at(path, 1, problem))
            twice = next((name for name in header if name and header.count(name) > 1), None)
            if twice is not None:
                raise UserError(at(path, 1, f"two columns are named {twice!r}; rename one"))
            for cells in rows:
                if not cells:
                    continue
                if len(cells) != len(header):
                    problem = f"{len(cells)} cells under {len(header)} columns; quote a text that holds the separator"
                    raise UserError(at(path, rows.line_num, problem))
                yield rows.line_num, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise UserError(at(path, rows.line_num, f"not a table ({error}); check the quotation marks")) from error
