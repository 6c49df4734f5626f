"""Scores as a page: one self-contained HTML file with the tables, and every utterance with an error, aligned."""

from typing import Any

from syn2real.reports import score_tables as tables
from syn2real.reports.examples import example
from syn2real.reports.page import render
from syn2real.reports.table import Table
from syn2real.speech.normalisation import Normaliser
from syn2real.speech.scoring import Pair
from syn2real.speech.survey import Worst

SHOWN = 500  # utterances; a page of more is slow to open
SOUNDS = 50  # of them with their recordings, which the page carries inside it
_MOST = 20


def render_evaluation(
    record: dict[str, Any],
    worst: Worst,
    others: dict[str, str],
    sounds: dict[str, str],
    clean: Normaliser,
    title: str,
) -> str:
    """The page of one system. ``worst`` has the pairs to show, ``others`` what another system heard, ``sounds`` the
    recordings, each by id where there is one."""
    sections: list[tuple[str, Table | None]] = [("", tables.rates_table(record))]
    sections += [(f"By {name}", table) for name, table in tables.group_tables(record)]
    sections += [
        ("Keywords", tables.keywords_table(record)),
        ("Most frequent errors", tables.confusions_table(record, _MOST)),
        ("Words found more or less often", tables.changed_table(record, _MOST)),
    ]
    shown = worst.pairs[:SHOWN]
    return render(
        "scores.html",
        title=title,
        sections=[(name, table) for name, table in sections if table is not None],
        against=tables.against(record["paired"]) if "paired" in record else None,
        examples=[_example(pair, others, sounds if place < SOUNDS else {}, clean) for place, pair in enumerate(shown)],
        left=worst.wrong - len(shown),
    )


def _example(pair: Pair, others: dict[str, str], sounds: dict[str, str], clean: Normaliser) -> dict[str, Any]:
    heard = {"heard": pair.hypothesis}
    if pair.id in others:
        heard["the other"] = others[pair.id]
    return example({"id": pair.id, "reference": pair.reference, "audio": sounds.get(pair.id)}, heard, clean)
