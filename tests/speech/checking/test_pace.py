"""How long a text is to say, in any script."""

import pytest

from syn2real.speech.checking.pace import fewest_letters, most_letters, seconds_per_letter


@pytest.mark.parametrize(
    ("text", "fewest"),
    [
        ("hello there", 10),
        ("Ça va ?", 4),
        ("Привет", 6),
        ("你好", 6),
        ("ありがとう", 10),
        ("안녕", 5),
        ("नमस्ते", 4),
        ("7 %", 1),
        ("…", 0),
    ],
)
def test_letters_that_are_surely_spoken(text, fewest):
    assert fewest_letters(text) == fewest


def test_digits_signs_and_abbreviations_may_take_words():
    assert most_letters("hello there") == fewest_letters("hello there")
    assert most_letters("5") == 8
    assert most_letters("5 %") == 16
    assert most_letters("the BBC") == 6 + 3 * 2
    assert most_letters("ALL OF IT IS IN CAPITALS") == fewest_letters("all of it is in capitals")


def test_pace_is_told_at_the_rate_of_one():
    assert seconds_per_letter("hello there", 0.5, rate=2.0) == pytest.approx(0.1)
    assert seconds_per_letter("…", 0.5) is None
