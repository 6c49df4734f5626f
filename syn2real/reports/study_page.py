"""`report.html`: one self-contained page with the tables, the curve, the worst utterances to hear, and the licences."""

from base64 import b64encode
from typing import Any

from syn2real.reports import wording
from syn2real.reports.examples import example, worst_utterances
from syn2real.reports.page import render


def render_study(record: dict[str, Any], curve: bytes) -> str:
    """The report of a study as HTML. Everything it shows is inside it."""
    worst = worst_utterances(record["utterances"], record["lambda"]["sum"], "target-synthetic")
    return render("study.html", record=record, curve=b64encode(curve).decode(), worst=_examples(worst, record))


def _examples(rows: list[dict[str, Any]], record: dict[str, Any]) -> list[dict[str, Any]]:
    normalise = record["recipe"]["evaluation"]["normaliser"]
    names = ("target-synthetic", record["lambda"]["sum"])
    return [example(row, {wording.NAMES[name]: row[name] for name in names}, normalise) for row in rows]
