"""A table as text in cells: what HTML, Markdown and the terminal have in common."""

from collections.abc import Iterable
from dataclasses import dataclass

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#~"})


@dataclass(frozen=True)
class Row:
    """Cells, and what the row is: ``headline``, ``baseline``, ``oracle`` or nothing in particular."""

    cells: tuple[str, ...]
    kind: str = ""
    bar: tuple[float, float, float] | None = None  # low, rate, high, where an interval is drawn


@dataclass(frozen=True)
class Table:
    """Rows under columns; the first ``left`` columns hold words, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    left: int = 1

    def markdown(self) -> list[str]:
        """Lines of Markdown, every text escaped."""
        lines = [f"**{markdown_text(self.title)}**", ""] if self.title else []
        lines.append(_line(map(markdown_text, self.columns)))
        lines.append(_line("---" if place < self.left else "---:" for place in range(len(self.columns))))
        for row in self.rows:
            cells = map(markdown_text, row.cells)
            lines.append(_line(f"**{cell}**" if row.kind == "headline" and cell else cell for cell in cells))
        return [*lines, *(["", markdown_text(self.note)] if self.note else [])]


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
