"""The card of a published vector for people: complete, safe to show, and honest about what is not known."""

from io import StringIO
from typing import Any

import pytest
import yaml
from rich.console import Console

from syn2real.reports.vector_card import print_vector, vector_readme

GAINED = {
    "wer": 0.2, "ci_low": 0.15, "ci_high": 0.25, "ci_level": 0.95, "ci_unit": "speaker", "ci_units": 9,
    "normaliser": "basic", "window": "short", "counts": {}, "cer": 0.1, "wer_unnormalised": 0.3, "difference": None,
    "relative": None, "relative_low": None, "relative_high": None, "p": None, "scale": None,
}  # fmt: skip


@pytest.fixture
def card() -> dict[str, Any]:
    after = {"wer": 0.15, "relative": 0.25, "relative_low": 0.1, "relative_high": 0.4, "p": 0.01, "scale": 0.7}
    systems = [{**GAINED, "name": "target-synthetic"}, {**GAINED, **after, "name": "syn2real"}]
    return {
        "name": "mine",
        "title": "From <b>synthetic</b> to real",
        "note": "One voice.",
        "language": "es",
        "base": {"name": "org/whisper", "sha256": "a" * 64, "architecture": "Whisper", "parameters": 1000},
        "corpora": [
            {"name": "stamps", "use": "vector", "clips": 90, "hours": 0.1, "speakers": 1, "domains": ["town", "food"]},
            {"name": "stamps", "use": "lambda", "clips": 9, "hours": 0.01, "speakers": 1, "domains": ["plants"]},
        ],
        "synthesis": {"spoken": [{"engine": "espeak", "voices": [f"es+f{n}" for n in range(20)], "licences": ["GPL"]}]},
        "training": {"epochs": 2, "learning_rate": 2e-5, "batch_size": 8, "seed": 0},
        "lambda": {
            "recommended": 0.7,
            "chosen_on": ["plants"],
            "curve": [{"scale": 0, "errors": 30, "words": 100}, {"scale": 0.7, "errors": 20, "words": 100}],
        },
        "storage": {
            "sha256": "b" * 64, "bytes": 2_000_000, "dtype": "int8", "method": "int8", "relative_error": 0.01,
            "norm": 3.2,
        },
        "gain": {"domains": ["animals"], "sentences": 50, "clips": 40, "speakers": 1, "systems": systems},
        "licences": [
            {"what": "recordings stamps", "licence": None, "commercial_ok": False, "why": "no licence is stated"}
        ],
        "commercial_ok": False,
        "commercial_obstacles": ["recordings stamps: no licence is stated"],
        "made_with": {"syn2real": "0.1"},
    }  # fmt: skip


def test_it_says_all_that_a_user_must_know(card):
    text = vector_readme(card)
    said = ["a" * 64, "b" * 64, "stamps, 90 clips", "town, food", "espeak", "and 12 more", "λ = 0.7, chosen on"]
    said += ["| λ | 0 | 0.7 |", "30.0 | 20.0", "25 % fewer errors", "not cleared", "One voice.", "int8"]
    assert [words for words in said if words not in text] == []
    head = yaml.safe_load(text.split("---")[1])
    assert head["base_model"] == "org/whisper" and head["language"] == "es"


def test_nothing_from_outside_is_markup(card):
    assert "<b>" not in vector_readme(card).replace("\\<b", "")
    screen = StringIO()
    card["title"] = "[red]x[/red]"
    card["base"]["name"] = "a\x1b[31m"
    print_vector(card, Console(file=screen, width=200))
    assert "[red]x" in screen.getvalue() and "\x1b" not in screen.getvalue()


def test_what_was_not_measured_is_not_claimed(card):
    card["gain"] = None
    card["lambda"] |= {"chosen_on": [], "curve": []}
    text = vector_readme(card)
    assert "was not measured" in text and "as given" in text and "| λ |" not in text


def test_a_name_that_is_no_hub_id_is_no_link(card):
    card["base"]["name"] = "whisper-base"
    assert "base_model" not in yaml.safe_load(vector_readme(card).split("---")[1])
