"""Which words are confused, and how many of those that matter are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.speech.normalisation import normaliser
from syn2real.speech.scoring import Pair, score
from syn2real.speech.survey import survey
from syn2real.speech.words import Confusions, KeywordCount, Keywords, WordRecall, rare_and_missed

NONE = normaliser("none")
PAIRS = [
    Pair("1", "a pizza margherita please", "a pizza margarita please", "anna"),
    Pair("2", "pizza margherita and cola", "pizza margherita and cola cola", "ben"),
    Pair("3", "one cola", "one", "ben"),
    Pair("4", "tea", "pizza margherita", "carl"),
]


def counted(part, pairs=PAIRS, normalise=NONE):
    (found,) = survey([(pairs, [part])], normalise)
    return found.table(str(normalise))


def recall(keywords, pairs=PAIRS, normalise=NONE):
    part = Keywords(keywords, normalise)
    return part.recall(counted(part, pairs, normalise))


def counts(keywords, pairs=PAIRS):
    return {word.keyword: word for word in recall(keywords, pairs).words}


def test_a_phrase_is_found_whole_or_not_at_all():
    found = counts(["pizza margherita", "cola", "pizza"])
    assert found["pizza margherita"] == KeywordCount("pizza margherita", said=2, found=1, invented=1)
    assert found["cola"] == KeywordCount("cola", said=2, found=1, invented=1)
    assert found["pizza"] == KeywordCount("pizza", said=2, found=2, invented=1)
    assert found["cola"].recall == 0.5 and found["cola"].precision == 0.5


def test_words_between_break_a_phrase():
    assert counts(["big cat"], [Pair("1", "a big cat", "a big black cat")])["big cat"].found == 0


def test_the_interval_draws_speakers():
    found = recall(["cola", "pizza"])
    assert found.total == KeywordCount("all", 4, 3, 2)
    assert found.low <= found.total.recall <= found.high
    assert (found.low, found.high) == (pytest.approx(2 / 3), 1.0)  # anna finds hers, ben two of three, carl says none


def test_the_interval_draws_what_the_error_rate_does():
    silent = Pair("silent", "", "", None)  # of no known speaker, and without a word that could be missed
    with_silence, without = (recall(["cola", "pizza"], pairs) for pairs in ([*PAIRS, silent], PAIRS))
    assert (with_silence.low, with_silence.high) == (without.low, without.high)


def test_what_one_speaker_says_has_no_interval():
    pairs = [Pair("1", "a pizza", "a pizza", "anna"), Pair("2", "pizza", "x", "anna"), Pair("3", "no", "no", "ben")]
    found = recall(["pizza"], pairs)
    assert found.total == KeywordCount("all", 2, 1, 0) and (found.low, found.high) == (None, None)


def test_keywords_are_normalised_as_the_texts_are():
    pairs = [Pair("1", "Crème brûlée!", "crème brûlée")]
    assert recall(["CRÈME BRÛLÉE"], pairs, normaliser("basic")).total.found == 1


def test_keywords_that_are_never_said_are_pointed_out():
    with pytest.raises(UserError, match="spelt as the references"):
        counts(["lasagne"])


def test_confusions_count_each_kind():
    counted(found := Confusions())
    assert found.substitutions[("margherita", "margarita")] == 1
    assert found.deletions == {"cola": 1}
    assert sum(found.insertions.values()) == 2


words = st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6))
def test_the_words_add_up_to_the_scores(texts):
    pairs = [Pair(str(place), said, heard) for place, (said, heard) in enumerate(texts)]
    counted(found := Confusions(), pairs)
    total = counted(recall := WordRecall(), pairs).total
    assert total == score(pairs).total
    assert sum(found.substitutions.values()) == total.substitutions
    assert sum(found.deletions.values()) == total.deletions
    assert sum(found.insertions.values()) == total.insertions + total.empty_insertions
    assert (recall.said.total(), recall.found.total()) == (total.words, total.hits)


def test_rare_words_of_a_text_that_a_system_misses():
    counted(heard := WordRecall())  # misses margherita in one of two, one cola of two, and tea
    text = ["Tea, and margherita!", "a pizza", "one more tea please", "lasagne"]
    assert rare_and_missed(["Tea, and margherita!", "a pizza", "lasagne"], heard, normaliser("basic")) == ["tea"]
    assert rare_and_missed([*text, *["something else"] * 1000], heard, normaliser("basic")) == ["tea"]
    with pytest.raises(UserError, match="misses no rare word"):
        rare_and_missed([*text, "tea"], heard, normaliser("basic"))  # of so few words, three are no rarity
