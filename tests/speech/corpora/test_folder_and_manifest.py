import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from syn2real.errors import UserError
from syn2real.speech.corpora import import_folder, import_manifest
from syn2real.speech.corpus import Corpus


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rate, wave = 22_050, 0.2 * np.sin(np.arange(22_050) / 9)
    for name in ("a.wav", "b.flac"):
        soundfile.write(folder / name, wave, rate)
    soundfile.write(folder / "mute.wav", np.zeros(500), rate)
    return folder


def test_a_folder_with_a_table(tmp_path: Path, recordings: Path) -> None:
    table = recordings / "t.csv"
    table.write_text(
        'file,text,speaker,domain\na.wav,"One, two.",s,food\nb.flac,Three.,,\nmute.wav,x,,\ngone.wav,x,,\n'
    )
    report = import_folder(tmp_path / "out", table, language="en", licence="CC0-1.0")
    assert [(u.id, u.text, u.speaker, u.domain) for u in report.corpus] == [
        ("a", "One, two.", "s", "food"),
        ("b", "Three.", None, None),
    ]
    assert {u.licence for u in report.corpus} == {"CC0-1.0"} and report.corpus.duration == pytest.approx(2)
    assert [(item, reason[:9]) for item, reason in report.skipped] == [
        ("mute.wav", "is silent"),
        ("gone.wav", "no such r"),
    ]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_is_split_at_what_splits_its_first_line(tmp_path: Path, recordings: Path, sign: str) -> None:
    table = recordings / "t.csv"
    table.write_text(f'file{sign}text\na.wav{sign}"One{sign} two."\n')
    (found,) = import_folder(tmp_path / "out", table).corpus
    assert found.text == " ".join(f"One{sign} two.".split())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("file,words\na.wav,x\n", r"t.csv:1: no column 'text'"),
        ("file,text\na.wav,x\na.wav, \n", r"t.csv:3: empty text for a.wav"),
        ("file,text\n,x\n", r"t.csv:2: no file name"),
        ("file,text\n../../x.wav,x\n", r"t.csv:2: ../../x.wav leaves"),
        ("file,text\n", "nothing to import"),
        ("file,text\nmute.wav,x\n", r"nothing to import; the first, mute.wav: is silent"),
    ],
)
def test_bad_tables(tmp_path: Path, recordings: Path, content: str, problem: str) -> None:
    (recordings / "t.csv").write_text(content)
    with pytest.raises(UserError, match=problem):
        import_folder(tmp_path / "out", recordings / "t.csv")
    assert not (tmp_path / "out").exists()


def test_a_manifest_from_anywhere(tmp_path: Path, recordings: Path) -> None:
    rows = [
        {"audio_filepath": str(recordings / "a.wav"), "text": "One.", "speaker": "s", "lang_id": 3, "seed": 5},
        {"audio_filepath": "b.flac", "text": "Two.", "id": "x/y z", "duration": 9, "language": "cy"},
        {"audio_filepath": "b.flac", "text": "Three.", "offset": 0.25, "duration": 0.5},
        {"audio_filepath": "b.flac", "text": "Four.", "offset": 0.9, "duration": 0.5},
    ]
    source = tmp_path / "m.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = import_manifest(tmp_path / "out", source, audio_root=recordings, language="en", licence="CC0-1.0")
    assert [(u.language, u.licence) for u in report.corpus] == [("en", "CC0-1.0"), ("cy", "CC0-1.0"), ("en", "CC0-1.0")]
    assert [(u.id, u.text, u.duration) for u in report.corpus] == [
        ("a", "One.", 1.0),
        ("x/y z", "Two.", 1.0),
        ("b", "Three.", 0.5),
    ]
    assert report.corpus[0].extra == {"lang_id": 3} and report.corpus[0].seed == 5
    assert [item for item, _ in report.skipped] == ["b.flac"] and "outside the recording" in report.skipped[0][1]
    shutil.rmtree(recordings)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert len(Corpus.load(tmp_path / "moved" / "manifest.jsonl")) == 3


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"audio_filepath": "a.wav"}, "'text' is missing"),
        ({"audio_filepath": "a.wav", "text": "x", "offset": 1}, "'duration' must be a number of seconds"),
        ({"audio_filepath": "a.wav", "text": "x", "offset": "1", "duration": 1}, "'offset' must be"),
        ({"audio_filepath": "a.wav", "text": "x", "offset": 0, "duration": 0}, "'duration' is 0"),
        ({"audio_filepath": "a.wav", "text": "x", "id": "one"}, r"duplicate id 'one' \(first on line 1\)"),
    ],
)
def test_bad_manifests(tmp_path: Path, recordings: Path, row: dict, problem: str) -> None:
    first = {"audio_filepath": "a.wav", "text": "x", "id": "one"}
    (recordings / "m.jsonl").write_text(json.dumps(first) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(UserError, match=rf"m.jsonl:2: .*{problem}"):
        import_manifest(tmp_path / "out", recordings / "m.jsonl")


def test_segments_may_have_no_ids(tmp_path: Path, recordings: Path) -> None:
    rows = [
        {"id": None, "audio_filepath": "a.wav", "text": f"part {start}", "offset": start, "duration": 0.1}
        for start in (0, 0.1)
    ]
    (recordings / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [u.id for u in import_manifest(tmp_path / "out", recordings / "m.jsonl").corpus] == ["a", "a-2"]
