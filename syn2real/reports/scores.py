"""The table of `syn2real evaluate` and `syn2real score`: rates with intervals, counts, by domain, and a paired test."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from syn2real.errors import UserError
from syn2real.reports.wording import p_value, percent
from syn2real.speech.scoring import Pair, Scores, score
from syn2real.speech.statistics import bootstrap_interval, mapsswe, paired_test


def scores_record(pairs: Sequence[Pair], normaliser: str, baseline: Sequence[Pair] | None = None) -> dict[str, Any]:
    """WER with interval and counts, un-normalised WER, CER, and the same by domain, as a JSON object."""
    scores = score(pairs, normaliser)
    record = {
        "normaliser": scores.normaliser,
        "utterances": len(scores),
        **_rates(scores),
        "cer": score(pairs, normaliser, "character").rate,
        "wer_unnormalised": score(pairs, "none").rate,
        "domains": {name: _rates(part) for name, part in scores.domains.items()},
    }
    if baseline is not None:
        other = score(baseline, normaliser)
        record["paired"] = asdict(paired_test(scores, other)) | {"mapsswe_p": mapsswe(scores, other).p}
    return record


def print_scores(record: dict[str, Any], console: Console) -> None:
    """Print what `scores_record` made."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("domain")
    for name in ("WER", "95 % interval", "S / D / I", "words"):
        table.add_column(name, justify="right")
    rows = {"all": record, **(record["domains"] if len(record["domains"]) > 1 else {})}
    for name, part in rows.items():
        counts = part["counts"]
        bounds = "–" if part["ci_low"] is None else f"{100 * part['ci_low']:.1f}–{100 * part['ci_high']:.1f}"
        edits = f"{counts['substitutions']} / {counts['deletions']} / {counts['insertions']}"
        table.add_row(escape(name), percent(part["wer"]), bounds, edits, str(part["words"]))
    console.print(table)
    console.print(
        f"CER {percent(record['cer'])} · WER of the text as it is {percent(record['wer_unnormalised'])} · "
        f"normaliser {record['normaliser']} · {record['counts']['empty_insertions']} words on empty references · "
        f"intervals resample {record['ci_unit']}s",
        highlight=False,
    )
    if "paired" in record:
        test = record["paired"]
        console.print(
            f"against the other system: {100 * test['difference']:+.1f} points "
            f"({100 * test['low']:+.1f} to {100 * test['high']:+.1f}), p {p_value(test['p'])}, "
            f"MAPSSWE p {p_value(test['mapsswe_p'])}",
            highlight=False,
        )


def _rates(scores: Scores) -> dict[str, Any]:
    total = scores.total
    try:
        interval = bootstrap_interval(scores)
        bounds: dict[str, Any] = {"ci_low": interval.low, "ci_high": interval.high, "ci_unit": interval.unit}
    except UserError:  # one utterance has a rate and no interval
        bounds = {"ci_low": None, "ci_high": None, "ci_unit": "utterance"}
    return {"wer": scores.rate, **bounds, "words": total.words, "counts": asdict(total)}
