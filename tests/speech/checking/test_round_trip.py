"""Whose fault it is when a clip is misheard: the rule on figures alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.speech.checking import Heard, HearingLimits, judge_hearing
from syn2real.speech.checking.hearing import normaliser_of
from syn2real.speech.normalisation import normaliser

LIMITS = HearingLimits()


def clips(*errors: int, characters: int = 40, sentence: str = "s") -> list[Heard]:
    """One clip of a sentence by each of several voices."""
    return [Heard(f"{sentence}-{n}", sentence, f"voice{n}", error, characters) for n, error in enumerate(errors)]


def said(heard: list[Heard]) -> list[str]:
    """``r`` rejected, ``f`` flagged, ``a`` flagged as misheard alike, ``-`` nothing; in order."""
    verdicts = judge_hearing(heard, LIMITS)
    marks = {None: "-", "misheard": "f", "misheard alike": "a"}
    found = [verdicts[clip.id] for clip in heard]
    return ["r" if v.rejected else marks[v.flagged.kind if v.flagged else None] for v in found]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((0, 1, 2), "---"),
        ((2, 3, 38), "--r"),  # one voice alone is misheard: it said something else
        ((31, 35, 38), "aaa"),  # all are: the recogniser does not know the words
        ((16, 15, 18), "aaa"),
        ((2, 3, 15), "--f"),
        ((38, 2), "r-"),
        ((38, 35), "aa"),
        ((60, 1, 2), "r--"),  # a loop
        ((38,), "r"),  # nobody to compare with: the looser limit
        ((24,), "f"),
        ((24, 2), "r-"),
        ((16, 2, 3), "f--"),
    ],
)
def test_a_sentence_in_several_voices(errors, expected):
    assert "".join(said(clips(*errors))) == expected


def test_short_texts_are_forgiven():
    assert said(clips(6, 0, 0, characters=4)) == ["f", "-", "-"]
    assert said(clips(20, 0, 0, characters=4)) == ["r", "-", "-"]


def test_the_same_voice_is_no_witness():
    """A voice that cannot say a sentence says it as badly the second time."""
    twice = [Heard(f"c{n}", "s", "voice", 38, 40) for n in range(3)]
    assert said(twice) == ["r", "r", "r"]


def test_a_text_of_signs_alone_says_nothing():
    assert said([Heard("a", "s", "v", 0, 0), Heard("b", "s", "w", 0, 0)]) == ["-", "-"]


def test_a_rejection_says_why():
    (*_, broken) = judge_hearing(clips(2, 3, 38)).values()
    assert str(broken.rejected) == "misheard: CER 95% (limit 45%)"


one_clip = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 80), st.integers(1, 40))


@given(st.lists(one_clip, max_size=12), st.randoms())
def test_order_and_other_sentences_change_no_verdict(drawn, random):
    """So any split of a corpus by sentences ends the same."""
    heard = [Heard(str(n), f"s{s}", f"v{v}", errors, size) for n, (s, v, errors, size) in enumerate(drawn)]
    whole = judge_hearing(heard, LIMITS)
    shuffled = heard[:]
    random.shuffle(shuffled)
    assert judge_hearing(shuffled, LIMITS) == whole
    parts = {}
    for sentence in {clip.sentence for clip in heard}:
        parts |= judge_hearing([clip for clip in heard if clip.sentence == sentence], LIMITS)
    assert parts == whole
    for clip in heard:
        verdict = whole[clip.id]
        assert not (verdict.rejected and verdict.flagged)
        assert bool(verdict.rejected or verdict.flagged) >= (clip.cer > max(LIMITS.flag, LIMITS.alone))
        if verdict.rejected:
            assert clip.errors > LIMITS.slack


@pytest.mark.parametrize(
    ("language", "name"),
    [("en", "english"), ("en-GB", "english"), ("es", "spoken-es"), ("xx", "unicode"), (None, "basic")],
)
def test_figures_and_words_are_the_same_where_they_are_known(language, name):
    assert normaliser_of(language) == name


def test_a_number_heard_in_figures_is_no_error():
    clean = normaliser(normaliser_of("es"))
    assert clean("Son las 5 y media.") == clean("son las cinco y media")
