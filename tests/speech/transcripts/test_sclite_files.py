"""The forms of sclite: what is said where, by whom, and which of several readings counts."""

import pytest

from syn2real.errors import UserError
from syn2real.speech.normalisation import normaliser
from syn2real.speech.scoring import ErrorCounts, Transcript, score
from syn2real.speech.statistics import mapsswe, paired_test
from syn2real.speech.transcripts import read_pairs, read_transcripts
from syn2real.speech.transcripts.sclite import nearest

STM = """\
;; LABEL "F" "Female" "Female talkers"
call A anna 0.00 2.00 <O,F> good morning all
call A ben 2.00 4.00 <O,M> {um / uh / @} two pizzas please
call A anna 4.00 6.00 IGNORE_TIME_SEGMENT_IN_SCORING
call B carl 0.50 3.00 hello there
"""
CTM = """\
;; heard by a recogniser
call A 0.10 0.30 good 0.98
call A 0.50 0.60 morning 0.7
call A 1.80 0.30 uh
call A 2.30 0.40 two
call A 2.80 0.60 pizza
call A 4.50 0.40 noise
call B 1.00 0.50 hello
call B 1.60 0.50 there
call B 9.00 0.50 bye
"""


@pytest.fixture
def files(tmp_path):
    def write(**contents):
        for name, content in contents.items():
            (tmp_path / name.replace("_", ".")).write_text(content)
        return tmp_path

    return write


def test_timed_words_go_to_the_segment_of_their_middle(files, capsys):
    folder = files(ref_stm=STM, hyp_ctm=CTM)
    pairs = read_pairs(folder / "ref.stm", folder / "hyp.ctm")
    assert [(pair.id, pair.reference, pair.hypothesis, pair.speaker) for pair in pairs] == [
        ("call-A-0.000-2.000", "good morning all", "good morning uh", "anna"),
        ("call-A-2.000-4.000", "two pizzas please", "two pizza", "ben"),
        ("call-B-0.500-3.000", "hello there", "hello there", "carl"),
    ]
    assert score(pairs).total == ErrorCounts(5, 2, 1, 0, 0, 3)
    assert "are not scored: 1" in " ".join(capsys.readouterr().err.split())


def test_of_segments_that_overlap_a_word_is_in_the_last_that_has_not_ended(files, capsys):
    folder = files(
        ref_stm="rec 1 A 0 10 one two three\nrec 1 B 2 4 four\nrec 1 C 2.5 3 five\n",
        hyp_ctm="".join(
            f"rec 1 {begin} 0.2 {word}\n"
            for begin, word in [(1, "one"), (2.1, "four"), (2.6, "five"), (3.5, "six"), (5, "two"), (8, "three")]
        ),
    )
    pairs = read_pairs(folder / "ref.stm", folder / "hyp.ctm")
    assert [pair.hypothesis for pair in pairs] == ["one two three", "four six", "five"]
    assert "not scored" not in capsys.readouterr().err


def test_where_nothing_was_heard_the_first_reading_stands(files):
    folder = files(hyp_trn="{ doctor no / dr } said { it / { this / @ } } (a-1)\n")
    assert read_transcripts(folder / "hyp.trn", "hypothesis") == {"a-1": Transcript("doctor no said it", "a")}


def test_a_ctm_needs_segments_of_the_same_recordings(files):
    folder = files(ref_stm=STM, hyp_ctm="talk A 0.1 0.3 good\n", ref_trn="a b (s-1)\n")
    with pytest.raises(UserError, match=r"'talk A' are in no segment"):
        read_pairs(folder / "ref.stm", folder / "hyp.ctm")
    with pytest.raises(UserError, match="against references in stm"):
        read_pairs(folder / "ref.trn", folder / "hyp.ctm")
    with pytest.raises(UserError, match="scored against references in stm"):
        read_transcripts(folder / "hyp.ctm")


def test_trn_ends_with_the_id_and_names_the_speaker(files):
    folder = files(ref_trn=";; comment\n\nshe had { your / a } suit (cmh_sa01)\nnothing @ (sa02)\n")
    found = read_transcripts(folder / "ref.trn")
    assert found == {"cmh_sa01": Transcript("she had your suit", "cmh"), "sa02": Transcript("nothing")}


def test_the_nearest_reading_is_the_reference(files):
    folder = files(ref_trn="i { have / 've } been { to / @ } there (a-1)\n", hyp_trn="I 've been there (a-1)\n")
    (pair,) = read_pairs(folder / "ref.trn", folder / "hyp.trn")
    assert pair.reference == "i 've been there"


@pytest.mark.parametrize(
    ("reference", "heard", "expected"),
    [
        ("{ it / { this / that } one }", "that one", "that one"),
        ("a { b / c } d", "a x d", "a b d"),
        ("{ a / @ }", "", ""),
        ("no choice", "at all", "no choice"),
        ("{dr / doctor} no", "Doctor. No!", "doctor no"),
        ("a { b / c } { d", "a c d", "a c { d"),  # of text that no file's reader lets through
        (" ".join(["{ a / b }"] * 9), "b a b b a b b a b", "b a b b a b b a b"),
    ],
)
def test_of_nested_and_of_many_alternations(reference, heard, expected):
    assert nearest(reference, heard) == expected


def test_readings_are_compared_as_they_are_scored(files):
    folder = files(
        ref_trn="{ shade / color } of x (a-1)\n{ 7 / five } x (a-2)\n", hyp_trn="colour of x (a-1)\n5 x (a-2)\n"
    )
    english = normaliser("english")
    pairs = read_pairs(folder / "ref.trn", folder / "hyp.trn", normalise=english)
    assert [pair.reference for pair in pairs] == ["color of x", "five x"] and score(pairs, english).rate == 0
    assert nearest("{ Dr. / dr } no", "dr no", normaliser("none")) == "dr no"


def test_segments_of_the_same_times_are_told_apart_by_their_speakers(files):
    text = "rec 1 A 0 2 one two\nrec 1 B 0 2 three\nrec 1 A 2.001 2.004 four\nrec 1 A 2.004 2.008 five\n"
    folder = files(ref_stm=text, hyp_stm=text)
    pairs = read_pairs(folder / "ref.stm", folder / "hyp.stm")
    assert [pair.id for pair in pairs][:2] == ["rec-1-0.000-2.000-A", "rec-1-0.000-2.000-B"]
    assert len(pairs) == 4 and score(pairs).rate == 0


def test_systems_that_heard_other_readings_are_compared_each_by_its_own(files):
    folder = files(
        ref_trn="i {don't / do not} know (a-1)\n{um / @} the cat {sat / was sitting} (a-2)\ngood day to you (b-1)\n",
        one_trn="i do not know (a-1)\nthe cat sat (a-2)\ngood day you (b-1)\n",
        two_trn="i don't know (a-1)\num a cat was sitting (a-2)\ngood day (b-1)\n",
    )
    one, two = (score(read_pairs(folder / "ref.trn", folder / f"{name}.trn")) for name in ("one", "two"))
    test = paired_test(one, two)
    assert (test.rate_a, test.rate_b) == (1 / 11, 3 / 12)
    assert mapsswe(one, two).mean == -2 / 3
    files(ref_trn="i know (a-1)\nthe cat {sat / was sitting} (a-2)\ngood day to you (b-1)\n")
    with pytest.raises(UserError, match="different references of 'a-1'"):
        paired_test(score(read_pairs(folder / "ref.trn", folder / "one.trn")), two)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("ref.trn", "no id here\n", r"ref.trn:1: no utterance id in round brackets"),
        ("ref.trn", "a (s-1)\nb (s-1)\n", r"ref.trn:2: duplicate id 's-1' \(first on line 1\)"),
        ("ref.trn", "a (s-1)\nthe { cat / hat sat (s-2)\n", r"ref.trn:2: a '\{' without its '\}'"),
        ("ref.stm", "call A anna 0.0 2.0 the cat / hat } sat\n", r"ref.stm:1: a '\}' without its '\{'"),
        ("ref.stm", "call A anna 0.0\n", r"ref.stm:1: fewer than five fields"),
        ("ref.stm", "call A anna zero 2.0 hello\n", r"ref.stm:1: 'zero' is no time"),
        ("ref.stm", "call A anna 0.0 nan hello\n", r"ref.stm:1: 'nan' is no time"),
        ("ref.stm", ";; nothing\n", "holds no transcripts"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, name, content, problem):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=problem):
        read_transcripts(tmp_path / name)


def test_a_word_without_its_time_is_named(files):
    folder = files(ref_stm=STM, hyp_ctm="call A 0.1 good\n")
    with pytest.raises(UserError, match=r"hyp.ctm:1: not five or six fields"):
        read_pairs(folder / "ref.stm", folder / "hyp.ctm")
