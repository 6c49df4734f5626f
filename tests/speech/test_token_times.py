"""Times from tokens: what is written between them, where a window must be heard again, words in any script."""

import pytest

from syn2real.speech.listening import Span
from syn2real.speech.token_times import Decoding, segments, token_times, unheard_from, words

ZERO = 1000
WORDS = {1: " one", 2: " two", 3: ",", 4: "-way", 5: "three", 6: " ", 7: " Yes", 8: "."}


def decode(tokens) -> str:
    return "".join(WORDS[token] for token in tokens)


def at(seconds: float) -> int:
    return ZERO + round(seconds * 50)


def test_segments_lie_between_time_tokens():
    said = Decoding([at(0), 1, 3, at(0.5), at(1), 2, at(9)])
    assert segments(said, ZERO, 2.0, decode) == [Span(0, 0.5, "one,"), Span(1, 2.0, "two")]
    assert segments(Decoding([1, 2]), ZERO, 2.0, decode) == [Span(0, 2.0, "one two")]
    assert segments(Decoding([at(0), 6, at(1)]), ZERO, 2.0, decode) == segments(Decoding([]), ZERO, 2.0, decode) == []


def test_a_time_said_twice_at_the_end_is_where_to_go_on():
    assert unheard_from([at(0), 1, at(3.5), at(3.5)], ZERO) == 3.5
    assert (
        unheard_from([at(0), 1, at(3.5)], ZERO) is unheard_from([], ZERO) is unheard_from([at(0), at(0)], ZERO) is None
    )


def test_words_keep_their_signs_and_silence_is_not_theirs():
    times = [(0.0, 2.0), (2.0, 2.1), (2.1, 2.4), (2.4, 2.6), (2.6, 9.0)]
    said = Decoding([1, 3, 2, 4, 1], times)
    found = words(said, ZERO, 8.0, decode, None)
    assert [span.text for span in found] == ["one,", "two-way", "one"]
    longest = 2 * 0.7
    assert (found[0].begin, found[0].end) == (pytest.approx(2.1 - longest), 2.1)
    assert found[1] == Span(2.1, 2.6, "two-way")
    assert (found[2].begin, found[2].end) == (2.6, 2.6 + longest)


def test_a_pause_between_sentences_is_no_word_s():
    times = [(0.0, 0.3), (0.3, 0.6), (0.6, 3.0), (3.0, 5.5), (5.5, 5.8), (5.8, 6.0)]
    found = words(Decoding([1, 7, 8, 7, 2, 2], times), ZERO, 6.0, decode, None)
    assert [span.text for span in found] == ["one", "Yes.", "Yes", "two", "two"]
    assert found[1] == Span(0.3, 0.9, "Yes.")
    assert found[2] == Span(4.9, 5.5, "Yes")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([(0.0, 1.36), (1.36, 4.04)], (0.0, 1.36)),  # silence behind it, where the sign is
        ([(0.0, 4.0), (4.0, 4.76)], (2.6, 4.0)),  # silence in front, where the word is
        ([(0.0, 0.9), (0.9, 1.1)], (0.0, 1.1)),  # none
    ],
)
def test_of_a_sentence_of_one_word_the_signs_tell_where_silence_is(times, expected):
    (alone,) = words(Decoding([7, 8], times), ZERO, 5.0, decode, None)
    assert (alone.begin, alone.end) == expected
    later = [(6.0, 6.3), (6.3, 6.6), (6.6, 6.9)]
    first, *_ = words(Decoding([7, 8, 1, 2, 2], [*times, *later]), ZERO, 8.0, decode, None)
    assert expected[0] <= first.begin and first.end <= expected[1]
    found = words(Decoding([1, 2, 8, 7, 8], [(0, 0.7), (0.7, 1.4), (1.4, 1.5), (1.5, 5.0), (5.0, 5.2)]),
                  ZERO, 8.0, decode, None)  # fmt: skip
    assert found[-1] == Span(3.6, 5.0, "Yes.")


def test_nothing_ends_after_the_clip():
    said = Decoding([1, 2], [(0.0, 0.3), (0.3, 0.9)])
    (first, last) = words(said, ZERO, 0.61287, decode, None)
    assert first == Span(0.0, 0.3, "one") and last == Span(0.3, 0.612, "two")
    assert segments(Decoding([1]), ZERO, 0.9, decode) == [Span(0, 0.9, "one")]


def test_scripts_without_spaces_are_split_by_sign_and_halves_of_signs_wait():
    pieces = {1: b"\xe4\xbd", 2: b"\xa0", 3: "好".encode(), 4: "。".encode()}

    def read(tokens) -> str:
        return b"".join(pieces[token] for token in tokens).decode(errors="replace")

    said = Decoding([1, 2, 3, 4], [(0, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 0.5)])
    assert words(said, ZERO, 1, read, "zh") == [Span(0, 0.2, "你"), Span(0.2, 0.5, "好。")]


def test_tokens_that_attention_never_reached_end_with_the_clip():
    assert token_times([0.0, 0.2], 3, 1.0) == [(0.0, 0.2), (0.2, 1.0), (1.0, 1.0)]
    assert token_times([0.0, 0.2, 0.6], 2, 1.0) == [(0.0, 0.2), (0.2, 0.6)]
