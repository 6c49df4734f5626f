"""The files of a grid's report: the page, its Markdown and CSV twins, and the pictures."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from syn2real.reports import grid_wording as words
from syn2real.reports.grid_figures import draw_domains, draw_lambda
from syn2real.reports.grid_heatmaps import draw_transfer, draw_vectors
from syn2real.reports.grid_page import PICTURES, markdown_report, render_grid
from syn2real.sealing import write_bytes, write_text

PAGE, MARKDOWN = "report.html", "report.md"
_PLACE = ("model", "engines", "window")
_TEST = ("difference", "low", "high", "relative", "relative_low", "relative_high", "p", "p_holm")
_FLIP = ("flip_p", "flip_p_holm")


def write_grid_report(record: dict[str, Any], directory: Path) -> None:
    """Write the report of a grid, each file whole or not at all; a picture there is nothing for is removed."""
    painters = (draw_domains, draw_lambda, draw_vectors, draw_transfer)
    drawn = {name: paint(record) for name, paint in zip(PICTURES, painters, strict=True)}
    for name, picture in drawn.items():
        if picture is None:
            (directory / name).unlink(missing_ok=True)
            continue
        write_bytes(directory / name, picture)
    pictures = {name: picture for name, picture in drawn.items() if picture is not None}
    for name, rows in spreadsheets(record).items():
        write_text(directory / name, rows)
    write_text(directory / MARKDOWN, markdown_report(record, pictures))
    write_text(directory / PAGE, render_grid(record, pictures))


def spreadsheets(record: dict[str, Any]) -> dict[str, str]:
    """The numbers of the report, unrounded, as CSV by file name."""
    return {
        "systems.csv": _csv(_systems(record)),
        "domains.csv": _csv(_domains(record)),
        "lambdas.csv": _csv(_lambdas(record)),
        "pairs.csv": _csv(_pairs(record)),
        "vectors.csv": _csv(_vectors(record)),
        "transfer.csv": _csv(_transfer(record)),
        "utterances.csv": _csv(_utterances(record)),
    }


def _systems(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in words.groups(record):
        for row in group["systems"]:
            tests, away = row["against_baseline"] or {}, row["elsewhere"] or {}
            flat = {key: row[key] for key in ("wer", "ci_low", "ci_high", "macro", "macro_low", "macro_high")}
            yield (
                {**_where(group), "system": row["name"], "scale_low": row["scale_low"], "scale_high": row["scale_high"]}
                | flat
                | {"cer": row["cer"], "wer_unnormalised": row["wer_unnormalised"], "words": row["words"]}
                | row["counts"]
                | {f"seeds_{key}": row["seeds"][key] for key in ("low", "high", "sd")}
                | {"cells": row["cells"], "missing_cells": len(row["missing"])}
                | {key: (tests.get("micro") or {}).get(key) for key in (*_TEST, *_FLIP)}
                | {f"macro_{key}": (tests.get("macro") or {}).get(key) for key in _TEST if key not in ("low", "high")}
                | {"mapsswe_p": tests.get("mapsswe_p")}
                | {f"elsewhere_{key}": away.get(key) for key in ("wer", "ci_low", "ci_high", "words", "errors")}
                | {f"elsewhere_{key}": (away.get("against") or {}).get(key) for key in ("difference", "low", "high")}
                | {"elsewhere_p_holm": (away.get("against") or {}).get("p_holm")}
            )


def _domains(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in words.groups(record):
        for row in group["systems"]:
            for part in row["domains"]:
                scales = " ".join(f"{scale:g}" for scale in part["scales"])
                yield {**_where(group), "system": row["name"], **part, "scales": scales}


def _lambdas(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in record["lambdas"]:
        place = {key: row[key] for key in ("model", "engines", "seed", "target", "system", "by")}
        place |= {
            "sum": row.get("sum"),
            "chosen": row["chosen"],
            "oracle": row["oracle"],
            "names": " ".join(row["names"]),
        }
        for heard, curve in (("what chose it", row["curve"]), ("target test", row["target_curve"])):
            for point in curve:
                counts = {key: point[key] for key in ("scale", "errors", "words")}
                yield {**place, "heard_on": heard, **counts, "wer": point["errors"] / max(1, point["words"])}


def _pairs(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in words.groups(record):
        for row in group["pairs"]:
            yield {**_where(group), **row}


def _vectors(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    vectors = record["vectors"] or {"names": [], "norms": [], "cosine": []}
    lengths = dict(zip(vectors["names"], vectors["norms"], strict=True))
    for tensors, cosines in (("all", vectors["cosine"]), *(vectors.get("groups") or {}).items()):
        for a, row in zip(vectors["names"], cosines, strict=True):
            for b, cosine in zip(vectors["names"], row, strict=True):
                yield {"tensors": tensors, "a": a, "b": b, "cosine": cosine, "norm_a": lengths[a], "norm_b": lengths[b]}


def _transfer(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    transfer = record["transfer"] or {"rows": [], "columns": []}
    for y, vector in enumerate(transfer["rows"]):
        for x, target in enumerate(transfer["columns"]):
            scales = " ".join(f"{scale:g}" for scale in transfer["scales"][y][x])
            wer, relative = transfer["wer"][y][x], transfer["relative"][y][x]
            yield {"vector": vector, "target": target, "wer": wer, "relative": relative, "scales": scales}


def _utterances(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in record["utterances"]:
        for system, heard in row["hypotheses"].items():
            said = {key: row[key] for key in ("target", "id", "reference", "words")}
            yield {**said, "system": system, "hypothesis": heard, "errors": row["errors"][system]}


def _where(group: dict[str, Any]) -> dict[str, Any]:
    return {key: group[key] for key in _PLACE}


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    """Rows of one shape as CSV; no rows are an empty file."""
    found = list(rows)
    text = io.StringIO()
    if found:
        writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return text.getvalue()
