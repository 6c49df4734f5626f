from pathlib import Path

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.speech.alignment import Alignment, Edit
from syn2real.speech.counts import ZERO, ErrorCounts
from syn2real.speech.scoring import Pair, Transcript, alignment, pair_up, score
from syn2real.speech.transcripts import read_pairs, read_transcripts

sentences = st.lists(st.sampled_from(["a", "b", "ab", "ca", "é"]), max_size=8).map(" ".join)
some = sentences.filter(bool)
counts = st.builds(
    lambda h, s, d, i: ErrorCounts(h, s, d, i if h + s + d else 0, 0 if h + s + d else i, 1),
    *[st.integers(0, 50)] * 4,
)


def pairs(*texts: tuple[str, str]) -> list[Pair]:
    return [Pair(str(index), said, heard) for index, (said, heard) in enumerate(texts)]


@pytest.mark.parametrize(
    ("said", "heard", "expected"),
    [
        ("a b c", "a b c", ErrorCounts(hits=3, utterances=1)),
        ("a b c", "a x c", ErrorCounts(hits=2, substitutions=1, utterances=1)),
        ("a b c", "a c", ErrorCounts(hits=2, deletions=1, utterances=1)),
        ("a b", "a b c d", ErrorCounts(hits=2, insertions=2, utterances=1)),
        ("a b", "", ErrorCounts(deletions=2, utterances=1)),
        ("", "thanks for watching", ErrorCounts(empty_insertions=3, utterances=1)),
        ("", "", ErrorCounts(utterances=1)),
        ("  a \t b\n", "a b", ErrorCounts(hits=2, utterances=1)),
    ],
)
def test_literal_pairs(said: str, heard: str, expected: ErrorCounts) -> None:
    assert score(pairs((said, heard))).total == expected


@given(st.lists(st.tuples(some, sentences), min_size=1, max_size=6))
def test_word_and_character_rates_are_jiwers(texts: list[tuple[str, str]]) -> None:
    said, heard = [t[0] for t in texts], [t[1] for t in texts]
    assert score(pairs(*texts)).rate == pytest.approx(jiwer.wer(said, heard))
    assert score(pairs(*texts), unit="character").rate == pytest.approx(jiwer.cer(said, heard))


@given(sentences, sentences)
def test_alignments_are_jiwers(said: str, heard: str) -> None:
    theirs = jiwer.process_words(said, heard).alignments[0]
    assert [tuple(run) for run in Alignment.of(said.split(), heard.split()).runs] == [
        (c.type, c.ref_start_idx, c.ref_end_idx, c.hyp_start_idx, c.hyp_end_idx) for c in theirs
    ]


@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=6))
def test_the_whole_is_the_sum_of_its_parts(texts: list[tuple[str, str]]) -> None:
    alone = [score(pairs(text)).total for text in texts]
    whole = score(pairs(*texts))
    assert [utterance.counts for utterance in whole] == alone
    assert whole.total == sum(alone, ZERO)


@given(counts, counts, counts)
def test_counts_add_like_numbers(a: ErrorCounts, b: ErrorCounts, c: ErrorCounts) -> None:
    assert a + b == b + a and (a + b) + c == a + (b + c) and a + ZERO == a
    assert (a + b).errors == a.errors + b.errors and (a + b).words == a.words + b.words


def test_rates_are_never_averaged() -> None:
    whole = score(pairs(("a", "b"), ("a b c d e f g h i", "a b c d e f g h i")))
    assert whole.rate == 0.1  # the mean of the two rates would be 0.5
    assert not hasattr(ErrorCounts(), "__truediv__")


def test_what_is_heard_in_silence_is_counted_apart() -> None:
    total = score(pairs(("", "a b"), ("c", "c"))).total
    assert (total.empty_insertions, total.insertions, total.errors, total.rate) == (2, 0, 0, 0.0)
    with pytest.raises(UserError, match="no reference words"):
        _ = score(pairs(("", "a b"))).rate


def test_english_normaliser_can_empty_a_reference() -> None:
    assert score(pairs(("Um.", "yes")), "english").total == ErrorCounts(empty_insertions=1, utterances=1)


@pytest.mark.parametrize("bad", [{"hits": -1}, {"hits": 1.0}, {"hits": 1}, {"insertions": 1, "utterances": 1}])
def test_impossible_counts_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ErrorCounts(**bad)


def test_both_sides_are_normalised_and_the_texts_kept() -> None:
    scores = score([Pair("x", "¡Una FLOR!", "una flor.", "s1", "plants")], "basic")
    assert scores.rate == 0 and scores.normaliser.startswith("basic (transformers")
    assert scores.utterances[0].reference == "¡Una FLOR!"
    assert score([Pair("x", "¡Una FLOR!", "una flor.")]).rate == 1


def test_ids_must_match() -> None:
    with pytest.raises(UserError, match=r"4 \('a', 'b', 'c', …\) without a hypothesis; 1 \('z'\) without a reference"):
        pair_up(dict.fromkeys("abcde", "text"), {"e": "text", "z": "text"})
    with pytest.raises(UserError, match="'a' is given twice"):
        score([Pair("a", "x", "x"), Pair("a", "y", "y")])
    with pytest.raises(UserError, match="nothing to score"):
        score([])


def test_references_give_order_speaker_and_domain() -> None:
    references = {"b": Transcript("x", "anna", "food"), "a": Transcript("y")}
    scores = score(pair_up(references, {"a": "y", "b": Transcript("x", "other", "other")}))
    assert scores.ids == ["b", "a"] and scores.utterances[0].speaker == "anna" and scores.rate == 0


def test_alignment_names_every_word() -> None:
    assert alignment("the cat sat down", "the hat sat") == [
        Edit("equal", "the", "the"),
        Edit("substitute", "cat", "hat"),
        Edit("equal", "sat", "sat"),
        Edit("delete", "down", None),
    ]
    assert alignment("", "a b") == [Edit("insert", None, "a"), Edit("insert", None, "b")]
    assert alignment("", "") == []


@given(sentences, sentences)
def test_alignment_rebuilds_both_sides(said: str, heard: str) -> None:
    edits = alignment(said, heard)
    assert [e.reference for e in edits if e.reference is not None] == said.split()
    assert [e.hypothesis for e in edits if e.hypothesis is not None] == heard.split()


FORMS = {
    "r.jsonl": '{"id": "1", "text": "a b", "speaker": "s", "domain": "d"}\n\n{"audio_filepath": "audio/2.wav", "text": ""}\n',  # noqa: E501
    "r.csv": '\ufeffid,text,speaker,domain\r\n1,"a b",s,d\r\n\r\naudio/2,,,\r\n',
    "r.tsv": "id\ttext\tspeaker\tdomain\n1\ta b\ts\td\naudio/2\t\t\t\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_transcripts_are_read_from_every_form(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8", newline="")
    expected = {"1": Transcript("a b", "s", "d"), "audio/2": Transcript("")}
    assert read_transcripts(tmp_path / name) == expected


def test_quotation_marks_are_words_in_tsv(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_text('id\ttext\n1\t"Yes\n2\the said "no"\n')
    assert [t.text for t in read_transcripts(tmp_path / "r.tsv").values()] == ['"Yes', 'he said "no"']


def test_plain_text_is_joined_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("a b\n\nc\n")
    (tmp_path / "hyp.txt").write_text("a b\nx\nc")
    assert score(read_pairs(tmp_path / "ref.txt", tmp_path / "hyp.txt")).total == ErrorCounts(3, 0, 0, 0, 1, 3)
    (tmp_path / "hyp.txt").write_text("a b\nx\n")
    with pytest.raises(UserError, match=r"ref.txt has 3 lines but .*hyp.txt has 2"):
        read_pairs(tmp_path / "ref.txt", tmp_path / "hyp.txt")


def test_trailing_empty_hypotheses_count_as_lines(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("a\nb\nc\n")
    (tmp_path / "hyp.txt").write_text("a\n\n\n")
    assert score(read_pairs(tmp_path / "ref.txt", tmp_path / "hyp.txt")).total.deletions == 2


def test_one_manifest_with_both_sides(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text('{"id": "1", "text": "a b", "pred_text": "a"}\n')
    assert score(read_pairs(file)).rate == 0.5
    file.write_text('{"id": "1", "text": "a b", "pred_text": "a"}\n{"id": "2", "text": "a"}\n')
    with pytest.raises(UserError, match=r"out.jsonl:2: no 'pred_text'"):
        read_pairs(file)
    table = tmp_path / "out.csv"
    table.write_text("id,text,pred_text\n")
    with pytest.raises(UserError, match="holds no transcripts"):
        read_pairs(table)


def test_hypotheses_prefer_the_predicted_text(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"audio_filepath": "x/1.wav", "text": "a b"}\n')
    (tmp_path / "h.jsonl").write_text('{"audio_filepath": "x/1.wav", "text": "a b", "pred_text": "a c"}\n')
    assert score(read_pairs(tmp_path / "r.jsonl", tmp_path / "h.jsonl")).rate == 0.5


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("r.jsonl", b'{"id": "1", "text": "a"}\n{"id": "1"}\n', r"r.jsonl:2: no 'text' for '1'"),
        ("r.jsonl", b'{"text": "a"}\n', r"r.jsonl:1: no 'id' \(a string\)"),
        ("r.jsonl", b'{"id": 7, "text": "a"}\n', r"r.jsonl:1: no 'id' \(a string\)"),
        ("r.jsonl", b'{"id": "1", "text": 7}\n', r"r.jsonl:1: field 'text' must be a string, not 7"),
        ("r.jsonl", b'{"id": "1", "text": "a"}\n' * 2, r"r.jsonl:2: duplicate id '1' \(first on line 1\)"),
        ("r.jsonl", b"\n{oops\n", r"r.jsonl:2: not JSON"),
        ("r.jsonl", b"[1]\n", r"r.jsonl:1: not a JSON object"),
        ("r.jsonl", b"", r"r.jsonl: holds no transcripts"),
        ("r.txt", b"", r"r.txt: holds no transcripts"),
        ("r.txt", b"a\n\xff\n", r"r.txt:2: is not UTF-8"),
        ("r.csv", b"id,text\n1,\xff\n", r"r.csv:2: is not UTF-8"),
        ("r.csv", b"id,text,text\n1,a,b\n", r"r.csv:1: two columns are named 'text'; rename one"),
        ("r.csv", b"name,text\n1,a\n", r"r.csv:1: no column 'id'"),
        ("r.csv", b"id,words\n1,a\n", r"r.csv:2: no 'text'"),
        ("r.csv", b"id,text\n1,a,b\n", r"r.csv:2: 3 cells under 2 columns"),
        ("r.csv", b'id,text\n1,"a\n', r"r.csv:2: not a table"),
        ("r.csv", b"", r"r.csv:1: no column 'id'"),
    ],
)
def test_what_cannot_be_read_is_named_by_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=problem) as caught:
        read_transcripts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_pairs(tmp_path / "r.jsonl")
