"""Corpora in the layouts their makers publish, with recordings made here."""

from pathlib import Path

import pytest
from made import tone

from syn2real.errors import UserError
from syn2real.speech.corpora import import_commonvoice, import_kaldi, import_librispeech, import_speechocean762


@pytest.fixture
def kaldi(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for number in (1, 2):
        tone(folder / "sound" / f"r{number}.wav", 3, 200 * number, 8_000)
    (folder / "wav.scp").write_text(f"r1 sound/r1.wav\nr2 {folder}/sound/r2.wav\n")
    (folder / "segments").write_text("s1-a r1 0.0 1.0\ns1-b r1 1.5 2.25\ns2-a r2 1 -1\ns2-b r9 0 1\ns2-c r2 2 9\n")
    (folder / "text").write_text("s1-a ONE  TWO\ns1-b THREE\ns2-a FOUR\ns2-b FIVE\ns2-c SIX\ns2-d SEVEN\ns2-e\n")
    (folder / "utt2spk").write_text("s1-a s1\ns1-b s1\ns2-a s2\ns2-b s2\ns2-c s2\n")
    (folder / "spk2gender").write_text("s1 f\ns2 m\n")
    (folder / "utt2lang").write_text("s1-a en\ns1-b en\ns2-a cy\n")
    (folder / "utt2age").write_text("s1-a 31\n")
    (folder / "utt2dur").write_text("s1-a 1.0\n")
    return folder


def test_kaldi_directories(tmp_path: Path, kaldi: Path) -> None:
    report = import_kaldi(tmp_path / "out", kaldi, licence="CC0-1.0", lower=True)
    assert [(u.id, u.text, u.speaker, u.language, u.duration) for u in report.corpus] == [
        ("s1-a", "one two", "s1", "en", 1.0),
        ("s1-b", "three", "s1", "en", 0.75),
        ("s2-a", "four", "s2", "cy", 2.0),
    ]
    assert [u.extra for u in report.corpus] == [{"gender": "f", "age": 31}, {"gender": "f"}, {"gender": "m"}]
    assert dict(report.skipped) == {
        "s2-b": "no recording in segments and wav.scp",
        "s2-c": "the segment from 2 s lies outside the recording of 3.0 s",
        "s2-d": "no recording in segments and wav.scp",
        "s2-e": "no recording in segments and wav.scp",
    }
    assert report.left_out["no recording in segments and wav.scp"] == 3


def test_kaldi_without_segments_and_with_another_root(tmp_path: Path, kaldi: Path) -> None:
    (kaldi / "segments").unlink()
    (kaldi / "sound").rename(tmp_path / "elsewhere")
    (kaldi / "wav.scp").write_text("s1-a r1.wav\ns1-b r2.wav\ns2-e r2.wav\n")
    report = import_kaldi(tmp_path / "out", kaldi, audio_root=tmp_path / "elsewhere")
    assert [(u.text, u.duration) for u in report.corpus] == [("ONE TWO", 3.0), ("THREE", 3.0)]
    assert dict(report.skipped)["s2-e"] == "no transcript" and "s2-a" in dict(report.skipped)


@pytest.mark.parametrize(
    ("table", "line", "problem"),
    [
        ("wav.scp", "r3 touch TOUCHED |", r"wav.scp:3: 'touch TOUCHED \|': a command is not executed"),
        ("wav.scp", "r3 sph2pipe -f wav x.sph|", r"wav.scp:3: .*: a command is not executed"),
        ("wav.scp", "r3 | touch TOUCHED", r"wav.scp:3: .*: a command is not executed"),
        ("wav.scp", "r3 raw.ark:1234", r"wav.scp:3: 'raw.ark:1234': is no audio file"),
        ("wav.scp", "r3 -", r"wav.scp:3: '-': is no audio file"),
        ("wav.scp", "r1 sound/r2.wav", r"wav.scp:3: r1 is already on line 1"),
        ("wav.scp", "r3", r"wav.scp:3: r3 has no value"),
        ("segments", "x r1 one two", r"segments:6: x: write utterance, recording, start and end"),
        ("segments", "x r1 2 1", r"segments:6: x: from 2 to 1 s is no stretch"),
        ("segments", "x r1 nan 1", r"segments:6: x: from nan to 1 s is no stretch"),
        ("utt2source", "s1-a stolen", r"text:1: s1-a: field 'source' must be 'real' or 'synthetic'"),
    ],
)
def test_kaldi_lines_that_are_refused(
    tmp_path: Path, kaldi: Path, monkeypatch: pytest.MonkeyPatch, table: str, line: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with (kaldi / table).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=problem):
        import_kaldi(tmp_path / "out", kaldi)
    assert not list(tmp_path.rglob("TOUCHED")) and not (tmp_path / "out").exists()


def test_what_is_no_kaldi_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no wav.scp; give a Kaldi data directory"):
        import_kaldi(tmp_path / "out", tmp_path)


@pytest.fixture
def speechocean(tmp_path: Path) -> Path:
    folder = tmp_path / "speechocean762"
    for part, speakers in (("train", {"0001": ("m", 6), "0003": ("f", 25)}), ("test", {"0009": ("m", 40)})):
        (folder / part).mkdir(parents=True)
        tables = dict.fromkeys(("wav.scp", "text", "utt2spk", "spk2gender", "spk2age"), "")
        for speaker, (gender, age) in speakers.items():
            name = f"{speaker}10011"
            sound = f"WAVE/SPEAKER{speaker}/{name}.WAV"
            tone(folder / sound)
            tables["wav.scp"] += f"{name}\t{sound}\n"
            tables["text"] += f"{name}\tWE CALL IT BEAR\n"
            tables["utt2spk"] += f"{name}\t{speaker}\n"
            tables["spk2gender"] += f"{speaker}\t{gender}\n"
            tables["spk2age"] += f"{speaker}\t{age}\n"
        for table, content in tables.items():
            (folder / part / table).write_text(content)
    return folder


def test_speechocean762(tmp_path: Path, speechocean: Path) -> None:
    report = import_speechocean762(tmp_path / "all", speechocean)
    assert [(u.id, u.text, u.speaker, u.extra) for u in report.corpus] == [
        ("000110011", "WE CALL IT BEAR", "0001", {"gender": "m", "age": 6, "split": "train"}),
        ("000310011", "WE CALL IT BEAR", "0003", {"gender": "f", "age": 25, "split": "train"}),
        ("000910011", "WE CALL IT BEAR", "0009", {"gender": "m", "age": 40, "split": "test"}),
    ]
    assert {(u.language, u.licence) for u in report.corpus} == {("en", "CC-BY-4.0")}
    report = import_speechocean762(tmp_path / "adults", speechocean, split=["train"], min_age=18, lower=True)
    assert [(u.speaker, u.text) for u in report.corpus] == [("0003", "we call it bear")]
    assert report.filtered == {"age under 18 or unknown": 1}
    with pytest.raises(UserError, match=r"no split 'dev'.*choose from test, train"):
        import_speechocean762(tmp_path / "none", speechocean, split=["dev"])
    with pytest.raises(UserError, match="give the folder with WAVE, train and test"):
        import_speechocean762(tmp_path / "none", tmp_path)


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    folder = tmp_path / "download" / "LibriSpeech"
    for subset, speaker, chapter in (
        ("dev-clean", "84", "121123"), ("train-clean-100", "19", "198"), ("train-other-500", "20", "1"),
    ):  # fmt: skip
        place = folder / subset / speaker / chapter
        for number in range(2):
            tone(place / f"{speaker}-{chapter}-000{number}.flac", 0.5, 300 + number)
        lines = (f"{speaker}-{chapter}-000{number} GO  DO YOU HEAR\n" for number in range(3))
        (place / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))
    (folder / "SPEAKERS.TXT").write_text(
        ";ID |SEX| SUBSET\n19   | F | train-clean-100 | 25.19 | Kara | x\n84 | M | d\n"
    )
    return folder


def test_librispeech(tmp_path: Path, librispeech: Path) -> None:
    report = import_librispeech(tmp_path / "all", librispeech.parent, lower=True)
    assert len(report.corpus) == 6 and report.left_out == {"no such recording": 3}
    first = report.corpus[0]
    assert (first.id, first.text, first.speaker, first.language) == ("84-121123-0000", "go do you hear", "84", "en")
    assert first.extra == {"split": "dev", "subset": "dev-clean", "chapter": "121123", "gender": "m"}
    assert "gender" not in report.corpus[4].extra
    subsets = [
        {u.extra["subset"] for u in import_librispeech(tmp_path / str(n), librispeech, split=split).corpus}
        for n, split in enumerate((["train"], ["train-other-500", "dev"], ["dev-clean"]))
    ]
    assert subsets == [{"train-clean-100", "train-other-500"}, {"train-other-500", "dev-clean"}, {"dev-clean"}]


def test_librispeech_mistakes(tmp_path: Path, librispeech: Path) -> None:
    with pytest.raises(UserError, match=r"no split 'dev-claen'.*did you mean 'dev-clean'"):
        import_librispeech(tmp_path / "out", librispeech, split=["dev-claen"])
    with pytest.raises(UserError, match="give the folder that holds the subsets"):
        import_librispeech(tmp_path / "out", librispeech / "dev-clean")
    table = librispeech / "dev-clean" / "84" / "121123" / "84-121123.trans.txt"
    table.write_text("84-121123-0000 FINE\n../../x BAD\n")
    with pytest.raises(UserError, match=r"84-121123.trans.txt:2: each line is an utterance's id and its text"):
        import_librispeech(tmp_path / "out", librispeech)


COLUMNS = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accent variant locale segment"
)


@pytest.fixture
def commonvoice(tmp_path: Path) -> Path:
    folder = tmp_path / "cv-corpus-17.0" / "es"
    for number in range(4):
        tone(folder / "clips" / f"c{number}.mp3", 1, 200 + number, 48_000)
    rows = [
        f'speaker{number % 2}\tc{number}.mp3\tid\tDijo: "hola"  {number}.\t{"health_care" * (number == 1)}\t{number}\t1'
        "\ttwenties\tfemale_feminine\t\t\tes\t"
        for number in range(5)
    ]
    tables = {"train": rows[:2], "dev": rows[2:3], "test": rows[3:5], "validated": rows[:4]}
    for name, lines in tables.items():
        (folder / f"{name}.tsv").write_text("\n".join([COLUMNS.replace(" ", "\t"), *lines]) + "\n")
    return folder


def test_common_voice(tmp_path: Path, commonvoice: Path) -> None:
    report = import_commonvoice(tmp_path / "out", commonvoice)
    assert [(u.id, u.text, u.speaker, u.extra["split"]) for u in report.corpus] == [
        ("c0", 'Dijo: "hola" 0.', "speaker0", "train"),
        ("c1", 'Dijo: "hola" 1.', "speaker1", "train"),
        ("c2", 'Dijo: "hola" 2.', "speaker0", "dev"),
        ("c3", 'Dijo: "hola" 3.', "speaker1", "test"),
    ]
    assert report.corpus[1].domain == "health_care" and report.corpus[0].domain is None
    assert {(u.language, u.licence, u.extra["gender"]) for u in report.corpus} == {("es", "CC0-1.0", "female_feminine")}
    assert [item for item, _ in report.skipped] == ["c4.mp3"]
    voted = import_commonvoice(tmp_path / "voted", commonvoice, split=["train", "validated"], min_votes=1)
    assert [u.id for u in voted.corpus] == ["c2", "c3"]
    assert voted.filtered == {"votes under 1": 2, "in an earlier table": 2}


def test_common_voice_takes_no_clip_twice(tmp_path: Path, commonvoice: Path) -> None:
    report = import_commonvoice(tmp_path / "out", commonvoice, split=["validated", "train"])
    assert [(u.id, u.extra["split"]) for u in report.corpus][:3] == [
        ("c0", "train"),
        ("c1", "train"),
        ("c2", "validated"),
    ]
    assert report.filtered == {"in an earlier table": 2}


def test_common_voice_mistakes(tmp_path: Path, commonvoice: Path) -> None:
    with pytest.raises(UserError, match=r"no split 'tain'.*did you mean 'train'"):
        import_commonvoice(tmp_path / "out", commonvoice, split=["tain"])
    with pytest.raises(UserError, match="give a language's folder"):
        import_commonvoice(tmp_path / "out", commonvoice.parent)
    (commonvoice / "train.tsv").write_text("client_id\tpath\tsentence\ns\t../../../x.mp3\tHola\n")
    with pytest.raises(UserError, match=r"train.tsv:2: '../../../x.mp3' is not the name of a file in clips"):
        import_commonvoice(tmp_path / "out", commonvoice)
