"""What stands beneath a table of rates is true of every row of it."""

import pytest

from syn2real.reports.score_tables import group_tables, rates_table
from syn2real.speech.evaluation import evaluation
from syn2real.speech.scoring import Pair

HEARD = [("one two three", "one too three"), ("four five", "four five"), ("six seven", "six heaven"), ("eight", "ate")]


def pairs(*told):
    """Pairs of what is told of each: speaker and domain."""
    rows = zip(HEARD * 2, told, strict=False)
    return [Pair(str(n), *texts, speaker, domain) for n, (texts, (speaker, domain)) in enumerate(rows)]


def test_of_one_speaker_there_is_no_interval_and_the_note_says_so():
    record = evaluation(
        pairs(("a", "food"), ("a", "food"), ("b", "town"), ("c", "town")), "none", groups={"who": lambda p: p.speaker}
    )
    table = rates_table(record)
    everything, food, town = table.rows
    assert food.cells[2] == "–" and "–" not in (everything.cells[2], town.cells[2])
    assert table.note.endswith("intervals resample 3 speakers; where one speaker has all the words there is none.")
    ((_, by_speaker),) = group_tables(record)
    assert {row.cells[2] for row in by_speaker.rows} == {"–"} and "there is none" in by_speaker.note


@pytest.mark.parametrize("names", [("a", "b"), (None, None)])
def test_a_part_that_is_resampled_otherwise_is_named(names):
    first, second = names
    note = rates_table(
        evaluation(pairs((first, "food"), (second, "food"), (None, "town"), (None, "town")), "none")
    ).note
    expected = "4 utterances; of food 2 speakers." if first else "4 utterances."
    assert note.endswith(f"intervals resample {expected}")
