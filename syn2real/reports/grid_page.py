"""The page of a grid: one self-contained HTML file, and its twin in Markdown."""

from base64 import b64encode
from typing import Any

import yaml

from syn2real.experiments.grid_recipe import INFORMED
from syn2real.reports import grid_tables as tables
from syn2real.reports import grid_wording as words
from syn2real.reports.examples import example, worst_utterances
from syn2real.reports.grid_figures import ROWS
from syn2real.reports.page import render
from syn2real.reports.table import Table, markdown_text
from syn2real.reports.wording import WINDOWS, name_of, p_value

HEADLINES = 4  # at the head of the page; the overview has all
PICTURES = {
    "domains.png": "word error rate of each target, with intervals",
    "lambda.png": "word error rate against λ",
    "vectors.png": "cosines of task vectors",
    "transfer.png": "what each vector does on each target",
}


def render_grid(record: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """The report of a grid as HTML; ``pictures`` are PNGs by name. Everything the page shows is inside it."""
    return render(
        "grid.html",
        record=record,
        words=words,
        headlines=words.headlines(record)[:HEADLINES],
        overview=tables.conditions_table(record),
        failures=tables.failures_table(record),
        targets=tables.targets_table(record),
        sources=words.sources(record),
        sizes=tables.sizes_table(record),
        shown=ROWS,
        sections=[_section(record, windows) for windows in words.conditions(record)],
        pictures={name: {"data": b64encode(data).decode(), "width": _width(data)} for name, data in pictures.items()},
        alternatives=PICTURES,
        examples=_examples(record),
        no_examples=_no_examples(record),
        recipe=recipe_text(record),
    )


def markdown_report(record: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """The same tables and pictures as Markdown; pictures are linked as files beside it."""
    lines = [f"# {markdown_text(record['title'])}", ""]
    lines += [f"> **Leak.** {markdown_text(leak)}\n" for leak in record["leaks"]]
    lines += [f"{markdown_text(line)}\n" for line in words.headlines(record)]
    if record["note"]:
        lines += [markdown_text(record["note"]), ""]
    failed = tables.failures_table(record)
    lines += ["## Cells that failed", "", *failed.markdown(), ""] if failed else []
    overview = tables.conditions_table(record)
    lines += ["## Overview", "", *overview.markdown(), ""] if overview else []
    for windows in words.conditions(record):
        section = _section(record, windows)
        lines += [f"## {markdown_text(section['title'])}", ""]
        lines += [f"- {markdown_text(claim)}" for claim in section["claims"]]
        for title, table in section["tables"]:
            lines += ["", f"### {markdown_text(title)}", "", *table.markdown()]
        lines.append("")
    lines += [f"![{markdown_text(PICTURES[name])}]({name})\n" for name in pictures]
    sizes = tables.sizes_table(record)
    lines += ["## Length of the vectors, by size of the model", "", *sizes.markdown(), ""] if sizes else []
    alike, carried = tables.vectors_tables(record), tables.transfer_table(record)
    lines += ["## Cosines of the vectors", ""] if alike else []
    for table in alike:
        lines += [*table.markdown(), ""]
    lines += ["## Each vector on each target", "", *carried.markdown(), ""] if carried else []
    lines += [
        "## Data",
        "",
        markdown_text(words.sources(record)),
        "",
        *tables.targets_table(record).markdown(),
        "",
        "## Where it still errs",
        "",
        *_worst(record),
        "",
        "## Licences",
        "",
    ]
    lines += [f"- {markdown_text(name)}" for name in record["data"]["licences"]]
    lines += [f"- recordings: {markdown_text(name)}" for name in record["data"]["recordings_licences"]]
    lines += ["", "## To reproduce", "", "Save as `recipe.yaml`, then `syn2real run recipe.yaml`.", ""]
    lines += ["```yaml", recipe_text(record).rstrip().replace("```", "'''"), "```", "", _made_with(record), ""]
    return "\n".join(lines)


def recipe_text(record: dict[str, Any]) -> str:
    """The recipe as YAML, with every setting."""
    return yaml.safe_dump(record["recipe"], sort_keys=False, allow_unicode=True, width=100)


def _width(png: bytes) -> int:
    """How wide a picture is shown, in pixels of the page: all at one scale, so that their letters are of one size."""
    return round(int.from_bytes(png[16:20], "big") * 0.72)


def _section(record: dict[str, Any], windows: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything about one model with one set of voices: its tables by title, its claims, its matrices of tests."""
    comparison = record["comparison"]
    first = windows[0]
    found: list[tuple[str, Table | None]] = []
    for group in windows:
        found.append((f"All systems, {WINDOWS[group['window']]}", tables.systems_table(group, comparison)))
    for group in windows:
        where = f", {WINDOWS[group['window']]}" if len(windows) > 1 else ""
        found.append((f"By other measures{where}", tables.details_table(group, comparison)))
    found.append(("Target by target", tables.domains_table(first, comparison)))
    found.append(("What choosing λ without the target cost", tables.scales_table(record, first)))
    found.append(("A λ for each group of tensors", tables.groups_table(record, first)))
    found.append(("Which sum of the three models was chosen", tables.sums_table(record, first)))
    found.append(("What was forgotten", tables.forgetting_table(first, comparison)))
    return {
        "title": words.condition_name(first),
        "claims": words.claims(first, comparison),
        "tables": [(title, table) for title, table in found if table is not None],
        "matrix": _matrix(first),
    }


def _matrix(group: dict[str, Any]) -> dict[str, Any] | None:
    """Every system against every other, the best first: corrected p above the diagonal, points below. Without those
    whose λ was chosen on labels."""
    found = [row for row in group["systems"] if not row["name"].endswith(INFORMED)]
    if len(found) < 3:
        return None
    names = [row["name"] for row in sorted(found, key=lambda row: row["wer"])]
    rows = []
    for y, name in enumerate(names):
        cells = []
        for x, other in enumerate(names):
            test = words.between(group, name, other) if x != y else None
            text = "" if test is None else p_value(test["flip_p_holm"]) if x > y else words.points(test["difference"])
            cells.append({"text": text, "sure": test is not None and test["flip_p_holm"] < 0.05})
        rows.append({"name": name_of(name), "cells": cells})
    return {"rows": rows}


def _examples(record: dict[str, Any]) -> list[dict[str, Any]]:
    normalise = record["recipe"]["evaluation"]["normaliser"]
    return [
        example(row, _heard(record, row), normalise) | {"id": f"{row['target']} · {row['id']}"}
        for row in _worst_rows(record)
    ]


def _worst(record: dict[str, Any]) -> list[str]:
    """The utterances with the most errors left, as Markdown."""
    lines = []
    for row in _worst_rows(record):
        lines.append(
            f"- {markdown_text(row['target'])} · {markdown_text(row['id'])}: {markdown_text(row['reference'])}"
        )
        lines += [f"  - {name}: {markdown_text(text) or '–'}" for name, text in _heard(record, row).items()]
    return lines or [_no_examples(record)]


def _worst_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    comparison = record["comparison"]
    return worst_utterances(record["utterances"], comparison["headline"], comparison["baseline"])


def _heard(record: dict[str, Any], row: dict[str, Any]) -> dict[str, str]:
    """What the baseline and the headline system heard, by what to call them."""
    shown = (record["comparison"][name] for name in ("baseline", "headline"))
    return {name_of(name): row["hypotheses"][name] for name in shown if name in row["hypotheses"]}


def _no_examples(record: dict[str, Any]) -> str:
    """Why no utterance is shown, where none is."""
    headline = record["comparison"]["headline"]
    if any(headline in row["hypotheses"] for row in record["utterances"]):
        return "Nowhere: every test utterance is right."
    return f"{name_of(headline)}, whose errors are shown here, was not heard."


def _made_with(record: dict[str, Any]) -> str:
    facts = {**record["versions"], **record["environment"]}
    return markdown_text(" · ".join(f"{name} {value}" for name, value in facts.items()))
