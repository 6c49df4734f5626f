"""The forms that transcripts are written in."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.speech.listening import Span
from syn2real.speech.transcription.recordings import Recording
from syn2real.speech.transcription.transcript import Transcript, rejected_path, require_form, require_names, write
from syn2real.speech.transcripts import read_pairs

SPANS = (Span(0.0, 1.5, "Fish & chips,"), Span(3600.25, 3661.0, "a < b --> c"))


def made(name: str, problem: str | None = None) -> Transcript:
    row = {"id": name, "audio_filepath": f"{name}.wav", "text": "fish and chips"}
    return Transcript(Recording(name, row), "Fish & chips, a < b", SPANS, problem)


def test_jsonl_has_the_row_the_text_and_the_times(tmp_path):
    write([made("a"), made("b", "is silent")], tmp_path / "o.jsonl", "jsonl", "word", overwrite=False)
    (row,) = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    assert row["text"] == "fish and chips" and row["pred_text"] == "Fish & chips, a < b"
    assert row["words"][0] == {"start": 0.0, "end": 1.5, "text": "Fish & chips,"}
    rejected = json.loads((tmp_path / "o.jsonl.rejected.jsonl").read_text())
    assert rejected == {"id": "b", "audio_filepath": "b.wav", "reason": "is silent"}
    write([made("a")], tmp_path / "o.jsonl", "jsonl", None, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["o.jsonl"]


def test_subtitles(tmp_path):
    write([made("calls/a")], tmp_path / "srt", "srt", "segment", overwrite=False)
    assert (tmp_path / "srt" / "calls" / "a.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:01,500\nFish & chips,\n\n2\n01:00:00,250 --> 01:01:01,000\na < b --> c\n\n"
    )
    write([made("a")], tmp_path / "vtt", "vtt", "segment", overwrite=False)
    lines = (tmp_path / "vtt" / "a.vtt").read_text().splitlines()
    assert lines[:4] == ["WEBVTT", "", "00:00:00.000 --> 00:00:01.500", "Fish &amp; chips,"]
    assert lines[5:7] == ["01:00:00.250 --> 01:01:01.000", "a &lt; b --> c"]
    with pytest.raises(UserError, match="subtitles need times; add --timestamps"):
        require_form("srt", None)


def test_trn_is_read_by_our_own_scorer(tmp_path):
    write([made("s-1 (x)"), made("s-2")], tmp_path / "o.trn", "trn", None, overwrite=False)
    assert (tmp_path / "o.trn").read_text().splitlines()[0] == "Fish & chips, a < b (s-1__x_)"
    assert [pair.hypothesis for pair in read_pairs(tmp_path / "o.trn", tmp_path / "o.trn")] == [
        "Fish & chips, a < b"
    ] * 2


@pytest.mark.parametrize(
    ("form", "ids", "name"),
    [("srt", ("a/b", "a/./b"), "a/b"), ("txt", ("/a", "a"), "a"), ("trn", ("one two", "one_two"), "one_two")],
)
def test_two_recordings_under_one_name_are_refused(form, ids, name):
    with pytest.raises(UserError, match=re.escape(f"{ids[0]!r} and {ids[1]!r} would both be written as {name!r}")):
        require_names(ids, form)
    require_names(ids, "jsonl")
    require_names((ids[0], "other"), form)


def test_what_is_rejected_lies_beside_its_own_output():
    outputs = [Path("calls.v1"), Path("calls.v2"), Path("calls"), Path("calls.jsonl"), Path("calls.trn")]
    assert len({rejected_path(output) for output in outputs}) == len(outputs)


def test_no_id_leads_out_of_the_directory(tmp_path):
    write([made("../../../etc/a"), made("/b")], tmp_path / "in" / "out", "txt", None, overwrite=False)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.txt"))
    assert written == [Path("in/out/b.txt"), Path("in/out/etc/a.txt")]
