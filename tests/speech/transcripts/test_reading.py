"""The form of a file is told by its name or given, and fields beside the text can be read."""

import json

import pytest

from syn2real.errors import UserError
from syn2real.speech.scoring import Transcript
from syn2real.speech.transcripts import iterate_pairs, read_field, read_pairs, read_recordings, read_transcripts


def test_kaldis_text_has_ids_and_its_speakers_beside_it(tmp_path):
    (tmp_path / "text").write_text("anna-1 good morning\nben-1\n")
    (tmp_path / "utt2spk").write_text("anna-1 anna\nben-1 ben\n")
    assert read_transcripts(tmp_path / "text") == {
        "anna-1": Transcript("good morning", "anna"),
        "ben-1": Transcript("", "ben"),
    }
    (tmp_path / "utt2spk").write_text("anna-1\n")
    with pytest.raises(UserError, match=r"utt2spk:1: not 'utterance-id speaker-id'"):
        read_transcripts(tmp_path / "text")


def test_a_form_can_be_given(tmp_path):
    (tmp_path / "hyp.txt").write_text("anna-1 good morning\n")
    assert list(read_transcripts(tmp_path / "hyp.txt", "hypothesis", "kaldi")) == ["anna-1"]
    assert list(read_transcripts(tmp_path / "hyp.txt", "hypothesis")) == ["1"]
    with pytest.raises(UserError, match=r"--format kaldy: unknown \(did you mean 'kaldi'\?\)"):
        read_transcripts(tmp_path / "hyp.txt", "hypothesis", "kaldy")


def test_a_form_that_is_given_says_what_separates_the_columns(tmp_path):
    for name, form, separator in (("ref.txt", "tsv", "\t"), ("ref.tsv", "csv", ","), ("ref.csv", "tsv", "\t")):
        rows = [("id", "text", "pred_text", "gender"), ("1", 'say "a, b', "a", "f")]
        if form == "csv":
            rows[1] = ("1", '"say ""a, b"', "a", "f")
        (tmp_path / name).write_text("".join(separator.join(row) + "\n" for row in rows))
        (pair,) = read_pairs(tmp_path / name, None, form)
        assert (pair.reference, pair.hypothesis) == ('say "a, b', "a")
        assert read_transcripts(tmp_path / name, "hypothesis", form) == {"1": Transcript("a")}
        assert read_field(tmp_path / name, "gender", form) == {"1": "f"}


def test_slurps_predictions_are_named_by_their_file(tmp_path):
    (tmp_path / "ref.jsonl").write_text('{"audio_filepath": "audio-1.flac", "text": "play jazz"}\n')
    row = '{"scenario": "play", "action": "music", "entities": [], "text": "play chess", "file": "audio-1.flac"}\n'
    (tmp_path / "hyp.jsonl").write_text(row)
    (pair,) = read_pairs(tmp_path / "ref.jsonl", tmp_path / "hyp.jsonl")
    assert (pair.id, pair.hypothesis) == ("audio-1", "play chess")


def test_a_line_that_was_not_recognised_is_not_taken_to_be_right(tmp_path):
    rows = tmp_path / "heard.jsonl"
    rows.write_text('{"id": "1", "text": "a", "pred_text": "a"}\n{"id": "2", "text": "b"}\n')
    for hypotheses in (rows, None):
        with pytest.raises(UserError, match=r"heard.jsonl:2: "):
            read_pairs(rows, hypotheses)
    rows.write_text('{"id": "1", "text": "a", "pred_text": null}\n{"id": "2", "text": "b", "pred_text": "b"}\n')
    for hypotheses in (rows, None):
        with pytest.raises(UserError, match=r"heard.jsonl:1: no 'pred_text' for '1'"):
            read_pairs(rows, hypotheses)


def test_kaldis_ids_may_end_at_a_tab(tmp_path):
    (tmp_path / "text").write_text("anna-1\tgood morning\n")
    assert read_transcripts(tmp_path / "text") == {"anna-1": Transcript("good morning")}


def test_fields_of_rows(tmp_path):
    table = tmp_path / "ref.csv"
    table.write_text("id,text,gender\n1,a,f\n2,b,m\n")
    assert read_field(table, "gender") == {"1": "f", "2": "m"}
    with pytest.raises(UserError, match=r"ref.csv:2: no 'gendre' \(did you mean 'gender'\?\)"):
        read_field(table, "gendre")
    (tmp_path / "ref.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match="only JSONL, CSV and TSV have fields"):
        read_field(tmp_path / "ref.txt", "gender")


def test_recordings_are_those_that_are_there(tmp_path):
    (tmp_path / "1.flac").write_bytes(b"flac")
    rows = '{"audio_filepath": "1.flac", "text": "a"}\n{"audio_filepath": "2.flac", "text": "b"}\n'
    (tmp_path / "ref.jsonl").write_text(rows)
    assert read_recordings(tmp_path / "ref.jsonl") == {"1": str(tmp_path / "1.flac")}
    (tmp_path / "text").write_text("1 a\n")
    assert read_recordings(tmp_path / "text") == {}


def rows(*texts, field="text"):
    return "".join(json.dumps({"id": name, field: text}) + "\n" for name, text in texts)


def test_pairs_come_as_the_files_are_read(tmp_path):
    said, heard = tmp_path / "ref.jsonl", tmp_path / "hyp.jsonl"
    said.write_text(rows(("1", "a"), ("2", "b")) + "broken\n")
    heard.write_text(rows(("1", "x"), ("2", "y")) + "broken too\n")
    pairs = iterate_pairs(said, heard)
    assert [(pair.id, pair.hypothesis) for pair in (next(pairs), next(pairs))] == [("1", "x"), ("2", "y")]
    with pytest.raises(UserError, match=r"ref.jsonl:3: not JSON"):
        next(pairs)


def test_hypotheses_may_be_in_any_order(tmp_path):
    (tmp_path / "ref.jsonl").write_text(rows(*zip("abcd", "wxyz", strict=True)))
    (tmp_path / "hyp.jsonl").write_text(rows(*zip("dbca", "zxyw", strict=True)))
    pairs = read_pairs(tmp_path / "ref.jsonl", tmp_path / "hyp.jsonl")
    assert [(pair.id, pair.reference, pair.hypothesis) for pair in pairs] == [
        (name, text, text) for name, text in zip("abcd", "wxyz", strict=True)
    ]


@pytest.mark.parametrize(
    ("said", "heard", "problem"),
    [
        ("abc", "ab", r"hyp.jsonl: .*1 \('c'\) without a hypothesis$"),
        ("bc", "abc", r"hyp.jsonl: .*1 \('a'\) without a reference$"),
        ("abc", "abx", r"1 \('c'\) without a hypothesis; 1 \('x'\) without a reference"),
        ("aba", "aba", r"ref.jsonl:3: duplicate id 'a' \(first on line 1\)"),
        ("ab", "aab", r"hyp.jsonl:2: duplicate id 'a' \(first on line 1\)"),
        ("ab", "baa", r"hyp.jsonl:3: duplicate id 'a' \(first on line 2\)"),
        ("aa", "a", r"ref.jsonl:2: duplicate id 'a'"),
        ("", "a", r"ref.jsonl: holds no transcripts"),
        ("a", "", r"hyp.jsonl: holds no transcripts"),
        ("", "", r"ref.jsonl: holds no transcripts"),
    ],
)
def test_ids_must_be_on_both_sides_once(tmp_path, said, heard, problem):
    for name, ids in (("ref", said), ("hyp", heard)):
        (tmp_path / f"{name}.jsonl").write_text(rows(*((one, "text") for one in ids)))
    with pytest.raises(UserError, match=problem):
        read_pairs(tmp_path / "ref.jsonl", tmp_path / "hyp.jsonl")


def test_a_recogniser_may_have_heard_nothing_at_all(tmp_path):
    (tmp_path / "ref.txt").write_text("a b\nc\n")
    (tmp_path / "hyp.txt").write_text("\n\n")
    assert [pair.hypothesis for pair in read_pairs(tmp_path / "ref.txt", tmp_path / "hyp.txt")] == ["", ""]
    (tmp_path / "text").write_text("1\n2\n")
    assert [pair.hypothesis for pair in read_pairs(tmp_path / "ref.txt", tmp_path / "text")] == ["", ""]


def test_lines_that_are_not_utf8_are_named_when_they_are_reached(tmp_path):
    (tmp_path / "ref.txt").write_bytes(b"a\n\nb \xff\n")
    with pytest.raises(UserError, match=r"ref.txt:3: is not UTF-8"):
        read_transcripts(tmp_path / "ref.txt")
