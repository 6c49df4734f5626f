"""Lines of a reply, and which are new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.language.sifting import Limits, Sieve, is_cut_off, lines_of


def key(text):
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def sieve(*seeds, instructions="Write ten new sentences of the same kind as these", **limits):
    return Sieve(seeds, instructions, Limits(**limits), key, lambda line: "emoji" if "😀" in line else None)


def test_numbers_bullets_quotes_and_headings_go():
    reply = 'Here are some:\n\n1. "Wake me up."\n2) Play *jazz*\n- Stop\n• “Go on”\n```\n(3) a. Call\n10 - Turn it off'
    assert lines_of(reply) == ["Wake me up.", "Play *jazz", "Stop", "Go on", "Call", "Turn it off"]


def test_numbers_that_belong_to_a_sentence_stay():
    assert lines_of("5 minutes more\nwake me at 5") == ["5 minutes more", "wake me at 5"]
    said = ["7:30 wake me up", "10.15 train to Bern please", "1.5 litres of milk"]
    assert lines_of("\n".join(said)) == said
    assert lines_of("1. 7:30 wake me up\n2.10.15 train\n3) 2 eggs") == ["7:30 wake me up", "2.10.15 train", "2 eggs"]


def test_a_last_line_without_its_end_is_cut_off():
    assert is_cut_off(["One.", "Two.", "Thr"]) and not is_cut_off(["One.", "Two.", "Three."])
    assert not is_cut_off(["one", "two", "three"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Play some jazz", None),
        ("wake me up at TEN!", "seed again"),
        ("wake me up at eleven please", None),
        ("please set an alarm for noon tomorrow then", "near duplicate"),
        ("smile 😀 please", "characters"),
        ("Stop", "length"),
        ("one two three four five six seven eight nine ten eleven", "length"),
        ("write ten new sentences of the same", "prompt again"),
        ("Sure, here you go!", "no sentence"),
        ("123 456", "no sentence"),
    ],
)
def test_reasons(line, reason):
    made = sieve("Wake me up at ten", "please set an alarm for noon tomorrow", most_words=10)
    assert made.refuse(line) == reason


def test_what_passed_is_known_from_then_on():
    made = sieve("a seed sentence")
    assert [made.refuse("Play some jazz"), made.refuse("play some JAZZ.")] == [None, "duplicate"]


def test_a_seed_in_the_words_of_the_prompt_may_be_followed():
    made = sieve("write ten new sentences of the same thing")
    assert made.refuse("Tomorrow at noon write ten new sentences of the same length for me") is None


@given(st.lists(st.text("ab c", min_size=1, max_size=8), max_size=20))
def test_no_two_that_pass_are_the_same(lines):
    made = sieve("seed one", fewest_words=1)
    passed = [key(line) for line in lines if made.refuse(line) is None]
    assert len(passed) == len(set(passed))
