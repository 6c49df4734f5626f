"""What is said of one system and of several, against independent counts."""

import weakref

import jiwer
import pytest

from syn2real.errors import UserError
from syn2real.resampling import holm
from syn2real.speech import survey
from syn2real.speech.evaluation import comparison, evaluation
from syn2real.speech.scoring import Pair
from syn2real.speech.survey import Worst

SAID = ["the cat sat on the mat", "two pizzas please", "hello there", "good morning to you all", "yes"]
GOOD = ["the cat sat on a mat", "two pizzas please", "hello there", "good morning to all", "yes yes"]
BAD = ["a cat sat on mat", "two pizza peas", "hello dear", "good to you", "guess"]
FAIR = ["the cat sat on the mat", "two pizza please", "hello dear", "good morning you", "yes"]
SPEAKERS = ["anna", "ben", "anna", "carl", "ben"]


def pairs(heard):
    rows = zip(SAID, heard, SPEAKERS, strict=True)
    return [Pair(str(n), said, text, speaker) for n, (said, text, speaker) in enumerate(rows)]


def test_rates_are_those_of_jiwer():
    record, theirs = evaluation(pairs(BAD), "none"), jiwer.process_words(SAID, BAD)
    assert record["wer"] == pytest.approx(theirs.wer)
    assert record["mer"] == pytest.approx(theirs.mer)
    assert record["wil"] == pytest.approx(theirs.wil)
    assert record["cer"] == pytest.approx(jiwer.cer(SAID, BAD))
    assert record["sentence_error"] == 1.0 and evaluation(pairs(GOOD), "none")["sentence_error"] == 0.6


def test_groups_split_the_words():
    of = {str(n): "long" if len(text) > 12 else "short" for n, text in enumerate(SAID)}
    record = evaluation(pairs(BAD), "none", groups={"length": lambda pair: of[pair.id]})
    groups = record["groups"]["length"]
    assert {name: part["words"] for name, part in groups.items()} == {"long": 14, "short": 3}
    assert sum(part["counts"]["substitutions"] for part in groups.values()) == record["counts"]["substitutions"]


def test_a_part_of_one_speaker_has_no_interval_where_speakers_are_resampled():
    record = evaluation(pairs(BAD), "none", groups={"speaker": lambda pair: pair.speaker})
    assert (record["ci_unit"], record["ci_units"]) == ("speaker", 3) and record["ci_low"] is not None
    anna = record["groups"]["speaker"]["anna"]  # two utterances
    assert (anna["ci_low"], anna["ci_high"], anna["ci_unit"], anna["ci_units"]) == (None, None, "speaker", 1)
    assert anna["wer"] == pytest.approx(jiwer.wer([SAID[0], SAID[2]], [BAD[0], BAD[2]]))
    of = {"0": "some", "1": "some", "2": "some"}
    some = evaluation(pairs(BAD), "none", groups={"half": lambda pair: of.get(pair.id)})["groups"]["half"]["some"]
    assert (some["ci_unit"], some["ci_units"]) == ("speaker", 2) and some["ci_low"] is not None
    unnamed = [Pair(pair.id, pair.reference, pair.hypothesis, domain=pair.speaker) for pair in pairs(BAD)]
    record = evaluation(unnamed, "none")
    assert record["domains"]["anna"]["ci_unit"] == "utterance" and record["domains"]["anna"]["ci_low"] is not None


def test_a_group_of_silences_has_no_rate_and_costs_the_others_none():
    silence = Pair("s", "", "thank you", "anna")
    record = evaluation(
        [*pairs(BAD), silence], "none", groups={"kind": lambda pair: {"s": "silence", "0": "speech"}.get(pair.id)}
    )
    silent = record["groups"]["kind"]["silence"]
    assert (silent["wer"], silent["ci_low"], silent["ci_units"], silent["counts"]["empty_insertions"]) == (
        None,
        None,
        0,
        2,
    )
    assert record["wer"] == evaluation(pairs(BAD), "none")["wer"]
    with pytest.raises(UserError, match="no reference words"):
        evaluation([silence], "none")


def test_against_another_system_words_and_keywords_are_set_side_by_side():
    record = evaluation(pairs(GOOD), "none", baseline=pairs(BAD), keywords=["pizzas", "mat", "morning"])
    assert record["keywords"]["found"] == 3 and record["paired"]["keywords"]["found"] == 1
    assert ["pizzas", 1, 1, 0] in record["words_changed"]["gained"]
    assert [row[0] for row in record["words_changed"]["lost"]] == ["you"]
    assert record["paired"]["difference"] < 0 and record["paired"]["flip_p"] == 0.25  # all three speakers, of 8 signs


def test_every_two_systems_are_compared_and_corrected():
    record = comparison({"good": pairs(GOOD), "bad": pairs(BAD), "fair": pairs(FAIR)}, "none")
    assert [(test["a"], test["b"]) for test in record["pairs"]] == [("good", "bad"), ("good", "fair"), ("bad", "fair")]
    for name in ("p", "flip_p", "mapsswe_p"):
        assert [t[f"{name}_holm"] for t in record["pairs"]] == holm([t[name] for t in record["pairs"]])
    with pytest.raises(UserError, match="different utterances"):
        comparison({"good": pairs(GOOD), "part": pairs(BAD)[:3]}, "none")


def test_the_worst_come_first_and_the_right_not_at_all():
    for most, ids in ((9, ["4", "3", "0"]), (2, ["4", "3"])):
        worst = Worst(most)
        evaluation(pairs(GOOD), "none", worst=worst)
        assert [pair.id for pair in worst.pairs] == ids and worst.wrong == 3


def test_pairs_are_not_kept(monkeypatch):
    monkeypatch.setattr(survey, "CHUNK", 16)
    refs, gone, alive = [], [], []

    def spoken():
        for n in range(400):
            pair = Pair(str(n), f"the cat sat {n % 3}", "the cat sat", f"s{n % 7}", f"d{n % 2}")
            refs.append(weakref.ref(pair, gone.append))
            yield pair
            alive.append(len(refs) - len(gone))

    record = evaluation(spoken(), "none", baseline=spoken(), keywords=["cat"], worst=survey.Worst(5))
    assert record["utterances"] == 400 and record["domains"]["d1"]["words"] == 800
    assert max(alive) < 100  # of 800: a chunk of each system, and the worst
