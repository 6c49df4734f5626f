"""How like its neighbours a sentence is, beside the index computed as it is defined."""

from hypothesis import given
from hypothesis import strategies as st

from syn2real.language.likeness import Neighbours, pairs, words

SENTENCES = st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=5).map(" ".join), max_size=6)


@given(SENTENCES, st.lists(st.sampled_from("abcde"), min_size=1, max_size=5).map(" ".join))
def test_the_nearest_is_that_of_the_largest_jaccard_index(known, text):
    for parts in (pairs, words):
        expected = max((len(parts(text) & parts(one)) / len(parts(text) | parts(one)) for one in known), default=0.0)
        assert Neighbours(known, parts).nearest(text) == expected


def test_words_have_no_order_and_pairs_have():
    assert Neighbours(["Wake me, up!"], words).nearest("up wake me") == 1
    assert Neighbours(["wake me up"]).nearest("up wake me") < 0.5
    assert Neighbours().nearest("anything") == 0 and len(Neighbours(["a", "a"])) == 2
