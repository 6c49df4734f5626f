"""SLURP's own texts, with audio spoken by espeak-ng under the names of a sample of its recordings."""

import hashlib
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import soundfile
from made import tarball, tone

from syn2real.errors import UserError
from syn2real.speech.corpora import import_slurp
from syn2real.speech.corpus import Corpus

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "slurp"
ROW = {"slurp_id": 7, "sentence": "play  some jazz", "intent": "play_music", "scenario": "play"}


@dataclass
class Slurp:
    """A folder laid out as SLURP's, and what is in it: file to (split, sentence row, recording)."""

    folder: Path
    spoken: dict[str, tuple[str, dict, dict]]


@pytest.fixture(scope="module")
def slurp(tmp_path_factory: pytest.TempPathFactory) -> Slurp:
    if not (PUBLISHED / "test.jsonl").is_file():
        pytest.skip("needs SLURP's published texts")
    pytest.importorskip("espeakng_loader")
    from syn2real.speech.engines import engine

    espeak = engine("espeak")
    voices = espeak.voices("en")
    folder = tmp_path_factory.mktemp("slurp")
    (folder / "dataset" / "slurp").mkdir(parents=True)
    (folder / "audio" / "slurp_real").mkdir(parents=True)
    spoken: dict[str, tuple[str, dict, dict]] = {}
    speakers: dict[str, dict] = {}
    for name in ("devel", "test"):
        shutil.copy(PUBLISHED / f"{name}.jsonl", folder / "dataset" / "slurp")
        rows = [json.loads(line) for line in (PUBLISHED / f"{name}.jsonl").read_text().splitlines()]
        for row in Random(5).sample(rows, 8):
            for number, recording in enumerate(row["recordings"]):
                voice = voices[number % len(voices)]
                samples, rate = espeak.speak(row["sentence"], voice, 1.0, 1.0, number)
                soundfile.write(folder / "audio" / "slurp_real" / recording["file"], samples, rate)
                spoken[recording["file"]] = (name, row, recording)
                known = speakers.setdefault(str(row["slurp_id"]), {"recordings": {}})
                known["recordings"][recording["file"]] = {"usrid": f"FE-{number:03d}", "age": "30"}
    (folder / "dataset" / "slurp" / "metadata.json").write_text(json.dumps(speakers))
    return Slurp(folder, spoken)


def test_published_texts_become_a_corpus(tmp_path: Path, slurp: Slurp) -> None:
    report = import_slurp(tmp_path / "out", slurp.folder)
    assert {f"{u.id}.flac" for u in report.corpus} == set(slurp.spoken) and len(slurp.spoken) > 40
    for utterance in report.corpus:
        split, row, recording = slurp.spoken[f"{utterance.id}.flac"]
        assert (utterance.text, utterance.domain) == (row["sentence"], row["scenario"])
        assert (utterance.licence, utterance.language, utterance.source) == ("CC-BY-NC-4.0", "en", "real")
        assert utterance.speaker is not None and utterance.speaker.startswith("FE-")
        assert utterance.extra == {
            "slurp_id": row["slurp_id"],
            "intent": row["intent"],
            "split": {"devel": "dev", "test": "test"}[split],
            "channel": "headset" if "-headset" in recording["file"] else "far",
            "stored_wer": recording["wer"],
            "stored_status": recording["status"],
        }
    # 8,690 recordings of devel and 13,078 of test are listed
    assert report.filtered == {"recording not in slurp_real": 8_690 + 13_078 - len(slurp.spoken)}
    assert report.corpus.problems() == []
    assert Corpus.load(tmp_path / "out" / "manifest.jsonl") == report.corpus


def test_rules_select_and_are_counted(tmp_path: Path, slurp: Slurp) -> None:
    report = import_slurp(tmp_path / "out", slurp.folder, split=["dev"], channel="headset", max_wer=0.2)
    wanted = {
        file
        for file, (split, _, recording) in slurp.spoken.items()
        if split == "devel" and "-headset" in file and recording["wer"] <= 0.2
    }
    assert {f"{u.id}.flac" for u in report.corpus} == wanted
    # of devel's 8,690: 4,517 far, and of the headset ones those that the recogniser got wrong
    absent = report.filtered.pop("recording not in slurp_real")
    assert report.filtered.pop("channel is not headset") == 4_517
    assert report.filtered.pop("stored WER above 0.2 or unknown") + absent + len(wanted) == 8_690 - 4_517
    assert not report.filtered
    with pytest.raises(UserError, match="status is not wrong, 8690 of them"):
        import_slurp(tmp_path / "none", slurp.folder, split=["devel"], status="wrong")


def test_a_limit_draws_the_same_again(tmp_path: Path, slurp: Slurp) -> None:
    one = import_slurp(tmp_path / "1", slurp.folder, limit=10, seed=4)
    two = import_slurp(tmp_path / "2", slurp.folder, limit=10, seed=4)
    other = import_slurp(tmp_path / "3", slurp.folder, limit=10, seed=5)
    ids = [[u.id for u in report.corpus] for report in (one, two, other)]
    assert ids[0] == ids[1] != ids[2] and len(ids[0]) == 10


def small(folder: Path, recordings: list[dict] | None = None, **changes: object) -> Path:
    """A folder with one line in ``train.jsonl``."""
    folder.mkdir(parents=True, exist_ok=True)
    row = ROW | {"recordings": recordings or [{"file": "audio-1.flac", "wer": 0.5, "status": "correct"}]} | changes
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_without_metadata_speakers_are_unknown_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small(tmp_path / "in")
    tone(folder / "slurp_real" / "audio-1.flac")
    (utterance,) = import_slurp(tmp_path / "out", folder).corpus
    assert utterance.speaker is None and utterance.text == "play some jazz"
    assert "speakers are unknown, as" in capsys.readouterr().err
    elsewhere = tmp_path / "who.json"
    elsewhere.write_text('{"7": {"recordings": {"audio-1.flac": {"usrid": "MO-1"}}}}')
    (utterance,) = import_slurp(tmp_path / "known", folder, metadata=elsewhere).corpus
    assert utterance.speaker == "MO-1"
    elsewhere.write_text('["audio-1.flac"]')
    with pytest.raises(UserError, match=r"who.json: is not SLURP's metadata.json"):
        import_slurp(tmp_path / "bad", folder, metadata=elsewhere)


def test_the_synthetic_half(tmp_path: Path) -> None:
    folder = small(tmp_path / "in", [{"file": "audio-synth-1.flac"}])
    (folder / "train.jsonl").rename(folder / "train_synthetic.jsonl")
    tone(tmp_path / "sound" / "slurp_synth" / "audio-synth-1.flac")
    report = import_slurp(tmp_path / "out", folder, subset="synth", audio_root=tmp_path / "sound", split=["train"])
    (utterance,) = report.corpus
    assert utterance.source == "synthetic" and utterance.extra["split"] == "train"
    with pytest.raises(UserError, match=r"stored WER above 0.5 or unknown, 1 of them"):
        import_slurp(tmp_path / "o2", folder, subset="synth", audio_root=tmp_path / "sound", max_wer=0.5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"subset": "reel"}, "unknown subset 'reel'.*did you mean 'real'"),
        ({"channel": "near"}, "unknown channel 'near'"),
        ({"split": ["dev"]}, "no split 'dev'"),
        ({"folder": Path("x")}, "needs either --from.* or --download"),
        ({"subset": "synth"}, "none of train_synthetic.jsonl"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict, problem: str) -> None:
    folder = small(tmp_path / "in")
    tone(folder / "slurp_real" / "audio-1.flac")
    with pytest.raises(UserError, match=problem):
        import_slurp(tmp_path / "out", folder, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"recordings": [{"file": "../secret.flac"}]}, r"train.jsonl:1: \"../secret.flac\" is not the name"),
        ({"recordings": [{"wer": 1}]}, r"train.jsonl:1: null is not the name"),
        ({"recordings": "x"}, r"train.jsonl:1: not a line of SLURP"),
        ({"sentence": ""}, r"train.jsonl:1: not a line of SLURP"),
    ],
)
def test_lines_that_are_not_slurp(tmp_path: Path, changes: dict, problem: str) -> None:
    folder = small(tmp_path / "in", **changes)
    tone(folder / "slurp_real" / "audio-1.flac")
    with pytest.raises(UserError, match=problem):
        import_slurp(tmp_path / "out", folder)


def test_without_audio_the_ways_to_it_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no slurp_real or slurp_real.tar.gz.*--audio-root.*--download"):
        import_slurp(tmp_path / "out", small(tmp_path / "in"))
    with pytest.raises(UserError, match=r"none of train.jsonl, devel.jsonl, test.jsonl"):
        import_slurp(tmp_path / "out", tmp_path)


def archive(path: Path, sounds: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    return tarball(
        path, {f"slurp_real/{name}": content for name, content in sounds.items()}, "w:gz", links
    ).read_bytes()


def test_the_archive_is_unpacked_beside_itself(tmp_path: Path) -> None:
    sound = tone(tmp_path / "a.flac").read_bytes()
    folder = small(tmp_path / "in")
    body = archive(
        folder / "slurp_real.tar.gz", {"audio-1.flac": sound, "notes.txt": b"x"}, {"slurp_real/l.flac": "/etc"}
    )
    with pytest.raises(UserError, match="another sum than --checksum"):
        import_slurp(tmp_path / "out", folder, checksum="md5:00")
    assert len(import_slurp(tmp_path / "out", folder, checksum=f"md5:{hashlib.md5(body).hexdigest()}").corpus) == 1
    assert [path.name for path in (folder / "slurp_real").iterdir()] == ["audio-1.flac"]


def test_unpacking_that_was_stopped_goes_on(tmp_path: Path) -> None:
    sounds = {f"audio-{n}.flac": tone(tmp_path / f"{n}.flac", 1, 200 + n).read_bytes() for n in range(3)}
    folder = small(tmp_path / "in", [{"file": name} for name in sounds])
    archive(folder / "slurp_real.tar.gz", sounds)
    begun = folder / ".slurp_real.partial"
    begun.mkdir()
    (begun / "audio-0.flac").write_bytes(sounds["audio-0.flac"])
    (begun / "audio-1.flac").write_bytes(b"x" * len(sounds["audio-1.flac"]))  # whole in size alone
    assert len(import_slurp(tmp_path / "out", folder).corpus) == 3
    assert {path.name: path.read_bytes() for path in (folder / "slurp_real").iterdir()} == sounds
    assert not begun.exists()


@pytest.mark.parametrize("name", ["../../audio-1.flac", "/tmp/audio-1.flac", "slurp_real/../../x.flac"])
def test_archives_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    folder = small(tmp_path / "in")
    tarball(folder / "slurp_real.tar.gz", {"slurp_real/a.flac": b"x", name: b"x"}, "w:gz")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="would leave the folder"):
        import_slurp(tmp_path / "out", folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_devices_in_archives_are_passed_over(tmp_path: Path) -> None:
    sound = tone(tmp_path / "a.flac").read_bytes()
    folder = small(tmp_path / "in")
    archive(folder / "plain.tar.gz", {"audio-1.flac": sound})
    with tarfile.open(folder / "slurp_real.tar.gz", "w:gz") as made, tarfile.open(folder / "plain.tar.gz") as plain:
        for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE):
            entry = tarfile.TarInfo(f"slurp_real/bad{int(kind)}.flac")
            entry.type, entry.linkname = kind, "/etc/passwd"
            made.addfile(entry)
        entry = plain.getmembers()[0]
        made.addfile(entry, plain.extractfile(entry))
    assert len(import_slurp(tmp_path / "out", folder).corpus) == 1
    assert [path.name for path in (folder / "slurp_real").iterdir()] == ["audio-1.flac"]


def test_a_download_that_breaks_off_is_checked_unpacked_and_imported(tmp_path: Path, server) -> None:
    sounds = {f"audio-{n}.flac": tone(tmp_path / "s" / f"{n}.flac", 1, 200 + n).read_bytes() for n in range(1, 9)}
    body = archive(tmp_path / "made.tar.gz", sounds)
    listed = [{"file": name, "wer": 0.0, "status": "correct"} for name in sounds]
    texts = small(tmp_path / "texts", listed)
    people = {"7": {"recordings": {name: {"usrid": f"MO-{name[6]}"} for name in sounds}}}
    md5 = hashlib.md5(body).hexdigest()
    link = {"self": f"{server.address}/content"}
    published = {"key": "slurp_real.tar.gz", "size": len(body), "checksum": f"md5:{md5}", "links": link}
    server.files = {
        "record": json.dumps({"files": [published]}).encode(),
        "content": body,
        "slurp/train.jsonl": (texts / "train.jsonl").read_bytes(),
        "slurp/devel.jsonl": b"",
        "slurp/test.jsonl": b"",
        "slurp/metadata.json": json.dumps(people).encode(),
    }
    place, output = tmp_path / "slurp", tmp_path / "out"
    options = {"folder": place, "record": f"{server.address}/record", "texts": f"{server.address}/slurp/"}

    def breaking() -> None:
        # five answers before the archive's; then it breaks off midway, and brings nothing
        server.breaks = [1 << 30] * 5 + [len(body) // 2, 0]

    breaking()
    with pytest.raises(UserError, match=rf"broke off after {len(body) // 2} of {len(body)} bytes.*to resume"):
        import_slurp(output, **options)
    assert not output.exists() and not (place / "slurp_real.tar.gz").exists()
    server.asked.clear()
    report = import_slurp(output, **options)
    assert ("content", f"bytes={len(body) // 2}-") in server.asked
    assert [name for name, _ in server.asked] == ["record", "content"]  # the texts are kept
    assert len(report.corpus) == 8 and {u.speaker for u in report.corpus} == {f"MO-{n}" for n in range(1, 9)}
    server.asked.clear()
    import_slurp(tmp_path / "again", folder=place)
    assert server.asked == []


def test_an_archive_that_is_not_what_was_published_is_thrown_away(tmp_path: Path, server) -> None:
    server.files = {f"slurp/{name}.jsonl": b"" for name in ("train", "devel", "test")}
    server.files |= {"slurp/metadata.json": b"{}", "content": b"tampered"}
    published = {"key": "slurp_real.tar.gz", "size": 8, "checksum": f"md5:{'0' * 32}"}
    published["links"] = {"self": f"{server.address}/content"}
    server.files["record"] = json.dumps({"files": [published]}).encode()
    options = {"folder": tmp_path / "slurp", "record": f"{server.address}/record", "texts": f"{server.address}/slurp"}
    with pytest.raises(UserError, match=rf"expected MD5 {'0' * 32}; it was thrown away"):
        import_slurp(tmp_path / "out", **options)
    assert not list((tmp_path / "slurp").glob("*slurp_real*"))
