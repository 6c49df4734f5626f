"""The report of a check: a table of voices for the terminal, and the same as a picture."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from syn2real.lines import write_jsonl
from syn2real.reports.drawing import INK, LINE, figure_of, png, style
from syn2real.reports.wording import bounds, percent
from syn2real.sealing import write_bytes, write_json

RECORD, PICTURE, REJECTED = "check.json", "check.png", "rejected.jsonl"
_SHOWN = 10  # rejected clips in the terminal; all are in the JSON
_DRAWN = 40  # groups in the picture, the worst heard
_BAR, _BAD, _LOOK = "#1f5fa8", "#c0392b", "#e3b04b"


def print_check(record: dict[str, Any], title: str, console: Console) -> None:
    """Print the table of voices, what was rejected, and how often each reason occurred."""
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.add_column(record["by"])
    heard = record["all"]["cer"] is not None
    for name in ("clips", "min", "s/letter", *(("CER", "interval") if heard else ()), "rejected", "flagged"):
        table.add_column(name, justify="right")
    groups = record["groups"]
    for row in groups:
        table.add_row(escape(row[record["by"]]), *_cells(row, heard))
    if len(groups) > 1:
        table.add_row("all", *_cells(record["all"], heard), style="bold")
    console.print(table)
    if heard:
        about = f"heard by {record['recogniser']} · normaliser {record['normaliser']} · intervals resample clips"
        console.print(about, style="dim", markup=False, highlight=False)
    for kept, counts in record["reasons"].items():
        if counts:
            listed = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
            console.print(f"{kept}: {listed}", markup=False, highlight=False)
    for clip in record["rejected"][:_SHOWN]:
        reasons = "; ".join(reason["says"] for reason in clip["reasons"])
        console.print(f"  {clip['id']} ({clip['text'][:60]!r}): {reasons}", markup=False, highlight=False)
    if len(record["rejected"]) > _SHOWN:
        console.print(f"  … and {len(record['rejected']) - _SHOWN} more; --json or --output lists all", highlight=False)


def write_check(record: dict[str, Any], directory: Path) -> None:
    """Write the figures, the rejected clips and the picture, each file whole or not at all."""
    picture = draw_check(record)
    write_json(directory / RECORD, record)
    write_jsonl(directory / REJECTED, record["rejected"])
    write_bytes(directory / PICTURE, picture)


def draw_check(record: dict[str, Any]) -> bytes:
    """PNG: each voice's CER with interval where clips were heard, its pace, and its share of clips rejected and
    flagged; the worst heard on top."""
    by, heard = record["by"], record["all"]["cer"] is not None
    groups = sorted(record["groups"], key=lambda row: (row["cer"] or 0, row["rejected"], row[by]), reverse=True)
    more = f", the {_DRAWN} worst of {len(groups)}" if len(groups) > _DRAWN else ""
    groups = groups[:_DRAWN]
    places = range(len(groups))
    with style():
        figure = figure_of(9.0 if heard else 6.6, 1.3 + 0.24 * len(groups))
        panels = figure.subplots(1, 3 if heard else 2, sharey=True, squeeze=False)[0]
        if heard:
            panels[0].barh(places, [100 * (row["cer"] or 0) for row in groups], color=_BAR, height=0.62)
            for place, row in zip(places, groups, strict=True):
                if row["ci_low"] is not None:
                    panels[0].hlines(place, 100 * row["ci_low"], 100 * row["ci_high"], color=INK, linewidth=1.2)
            panels[0].set_xlabel("CER of the round trip, %")
        known = [(place, row) for place, row in zip(places, groups, strict=True) if row["seconds_per_letter"]]
        paces = [(place, 1000 * row["seconds_per_letter"]) for place, row in known]
        panels[-2].plot([pace for _, pace in paces], [place for place, _ in paces], "o", color=_BAR, markersize=5)
        panels[-2].set_xlim(0, 1.15 * max((pace for _, pace in paces), default=1.0))
        panels[-2].set_xlabel("median pace, ms a letter")
        before = [0.0] * len(groups)
        for name, colour in (("rejected", _BAD), ("flagged", _LOOK)):
            shares = [100 * row[name] / row["clips"] for row in groups]
            panels[-1].barh(places, shares, left=before, color=colour, height=0.62, label=name)
            before = [a + b for a, b in zip(before, shares, strict=True)]
        panels[-1].set_xlim(0, max(5.0, 1.1 * max(before)))
        panels[-1].set_xlabel("clips, %")
        panels[-1].legend(frameon=False, loc="lower right")
        panels[0].set_yticks(places, [row[by][:40] for row in groups])
        panels[0].invert_yaxis()
        for panel in panels:
            panel.grid(axis="x", color=LINE, linewidth=0.6)
            panel.set_axisbelow(True)
        panels[0].set_title(f"{record['all']['clips']} clips by {by}{more}")
        return png(figure)


def _cells(row: dict[str, Any], heard: bool) -> list[str]:
    pace = row["seconds_per_letter"]
    rate = [percent(row["cer"]) if row["cer"] is not None else "–", bounds(row["ci_low"], row["ci_high"])]
    return [
        str(row["clips"]),
        f"{row['minutes']:.1f}",
        f"{pace:.3f}" if pace else "–",
        *(rate if heard else []),
        str(row["rejected"] or "–"),
        str(row["flagged"] or "–"),
    ]
