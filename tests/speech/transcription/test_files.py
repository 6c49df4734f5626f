"""Many recordings into one file: what is bad is listed, a kill costs a batch, shares and workers change nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.speech import audio, sharing
from syn2real.speech.corpus import Corpus
from syn2real.speech.sharing import Shard, SharesLeft
from syn2real.speech.transcription import TranscriptionSettings, transcribe, workers
from syn2real.speech.transcription.files import Desk, HeardInPart, Transcription, working_directory
from syn2real.speech.transcription.recordings import read_recordings
from syn2real.speech.workforce import Workforce

FOURS = TranscriptionSettings(batch_size=4)


@pytest.fixture(scope="module")
def model(small_ctc) -> Path:
    return small_ctc("wav2vec2")


@pytest.fixture(scope="module")
def manifest(recordings, tmp_path_factory) -> Path:
    """Ten recordings, one of them of a minute without a transcript, and among them four that cannot be heard."""
    folder = tmp_path_factory.mktemp("mixed")
    shutil.copytree(recordings.parent / "audio", folder / "audio")
    rows = [json.loads(line) for line in recordings.read_text().splitlines()][:9]
    clips = [audio.read(recordings.parent / row["audio_filepath"]) for row in rows]
    pause = np.random.default_rng(0).normal(0, 1e-3, 8_000).astype(np.float32)
    joined = np.concatenate([part for clip in clips for part in (clip, pause)])
    soundfile.write(folder / "audio" / "long.wav", np.tile(joined, 3)[: 61 * 16_000], 16_000)
    soundfile.write(folder / "audio" / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "audio" / "short.wav", clips[0], 16_000)
    whole = (folder / rows[0]["audio_filepath"]).read_bytes()
    (folder / "audio" / f"cut{Path(rows[0]['audio_filepath']).suffix}").write_bytes(whole[: len(whole) // 2])
    bad = ["silent.wav", "missing.wav", "short.wav"]
    rows += [{"id": name, "audio_filepath": f"audio/{name}", "text": "x"} for name in bad]
    rows[-1]["duration"] = 20.0
    (folder / "audio" / "text.flac").write_text("not sound")
    rows += [{"id": "text", "audio_filepath": "audio/text.flac"}, {"id": "long", "audio_filepath": "audio/long.wav"}]
    rows.insert(1, rows.pop())
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "manifest.jsonl"


@pytest.fixture
def work(manifest, model) -> Transcription:
    return Transcription(read_recordings([manifest]), model, settings=FOURS)


@pytest.fixture(scope="module")
def whole(manifest, model, tmp_path_factory) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    folder = tmp_path_factory.mktemp("whole")
    Transcription(read_recordings([manifest]), model, settings=FOURS).write(folder / "out.jsonl")
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    assert not working_directory(folder / "out.jsonl").exists()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rows(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.splitlines()]


def test_what_cannot_be_heard_is_listed_and_all_else_is_heard(whole, manifest):
    heard, rejected = rows(whole["out.jsonl"]), rows(whole["out.jsonl.rejected.jsonl"])
    order = [json.loads(line)["id"] for line in manifest.read_text().splitlines()]
    bad = ["silent.wav", "missing.wav", "short.wav", "text"]
    assert [row["id"] for row in heard] == [name for name in order if name not in bad]
    assert [row["id"] for row in rejected] == [name for name in order if name in bad]
    reasons = {row["id"]: row["reason"] for row in rejected}
    assert "is silent" in reasons["silent.wav"] and "no such recording" in reasons["missing.wav"]
    assert "20.0 s by the manifest: its end is missing" in reasons["short.wav"]
    assert "cannot be read as audio" in reasons["text"]
    (long,) = (row for row in heard if row["id"] == "long")
    assert "text" not in long and len(long["pred_text"]) > 3 * max(len(r["pred_text"]) for r in heard if r != long)


def test_short_recordings_are_heard_as_a_corpus_is(recordings, model):
    corpus = Corpus.load(recordings)
    found = Transcription(read_recordings([recordings]), model, settings=FOURS).hear()
    assert {one.recording.id: one.text for one in found} == transcribe(model, corpus, FOURS)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(work, whole, tmp_path, monkeypatch, stop):
    hear, batches = workers.hear, []

    def counted(*arguments):
        batches.append(arguments)
        if len(batches) == stop + 1:
            raise KeyboardInterrupt
        return hear(*arguments)

    monkeypatch.setattr(workers, "hear", counted)
    with pytest.raises(KeyboardInterrupt):
        work.write(tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    journal = working_directory(tmp_path / "out.jsonl") / "journals" / "1-of-1.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"key": "cut short')
    told = []
    work.write(tmp_path / "out.jsonl", told=lambda one: told.append(one.recording.id))
    assert files(tmp_path) == whole
    assert len(batches) == 1 + 4  # 13 clips and pieces in fours, each once, and the one that was stopped
    assert sorted(told) == sorted(recording.id for recording in work.recordings)


def test_killed_for_good(manifest, model, whole, tmp_path):
    command = [sys.executable, "-m", "syn2real", "transcribe", manifest, "-m", model, "--batch-size", "4"]
    command += ["-o", tmp_path / "out.jsonl"]
    journals = working_directory(tmp_path / "out.jsonl") / "journals"
    run = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(journals.glob("*.jsonl")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == (3 if not (tmp_path / "out.jsonl").exists() or "warning" in done.stderr else 1)
    assert files(tmp_path) == whole


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
def test_the_last_share_writes_the_output(work, whole, tmp_path, order):
    for number in order[:2]:
        with pytest.raises(SharesLeft, match=rf"share {number} of 3 is heard; \d+ of 13 clips are left"):
            work.write(tmp_path / "out.jsonl", shard=Shard(number, 3))
    work.write(tmp_path / "out.jsonl", shard=Shard(order[2], 3))
    assert files(tmp_path) == whole


def test_workers_hear_the_same(work, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    replace(work, workforce=Workforce(2)).write(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows(files(tmp_path)["out.jsonl"])] == [r["id"] for r in rows(whole["out.jsonl"])]
    assert files(tmp_path)["out.jsonl.rejected.jsonl"] == whole["out.jsonl.rejected.jsonl"]


def test_other_settings_do_not_mix(work, whole, tmp_path, monkeypatch):
    with pytest.raises(SharesLeft):
        work.write(tmp_path / "out.jsonl", shard=Shard(1, 2))
    other = replace(work, settings=TranscriptionSettings(batch_size=2))
    with pytest.raises(UserError, match="unfinished transcription with other recordings, settings; run that one"):
        other.write(tmp_path / "out.jsonl")
    other.write(tmp_path / "out.jsonl", overwrite=True)
    with pytest.raises(UserError, match="already exists; choose another output or pass --overwrite"):
        work.write(tmp_path / "out.jsonl")


def test_a_run_that_heard_nothing_is_in_nobodys_way(work, whole, tmp_path):
    with pytest.raises(UserError, match="beams"):  # which a CTC model has not
        replace(work, settings=replace(FOURS, beams=5)).write(tmp_path / "out.jsonl")
    work.write(tmp_path / "out.jsonl")
    assert files(tmp_path) == whole


def test_recordings_are_named_from_where_the_transcripts_lie(work, manifest):
    above = manifest.parent.parent / "above.jsonl"
    work.write(above)
    named = [row["audio_filepath"] for row in rows(above.read_bytes())]
    assert named and all((above.parent / name).is_file() for name in named)


def test_what_another_run_is_at_work_on_is_not_overwritten(work, whole, tmp_path, monkeypatch):
    """Not before it has ended, and then all of it."""
    monkeypatch.setattr(sharing, "PATIENCE", 0.2)
    directory = working_directory(tmp_path / "out.jsonl")
    with pytest.raises(SharesLeft):
        replace(work, settings=TranscriptionSettings(batch_size=2)).write(tmp_path / "out.jsonl", shard=Shard(1, 2))
    before = {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    record = (directory / Desk.record_name).read_text()
    with closing(Desk(directory, Shard(), record)), pytest.raises(UserError, match="another run is at work here"):
        work.write(tmp_path / "out.jsonl", overwrite=True)
    assert {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
    work.write(tmp_path / "out.jsonl", overwrite=True)
    assert files(tmp_path) == whole


def test_a_share_says_what_could_not_be_heard_so_far(work, tmp_path):
    with pytest.raises(HeardInPart) as part:
        work.write(tmp_path / "out.jsonl", shard=Shard(1, 4))
    known = {one.recording.id for one in part.value.rejected}
    assert {"missing.wav", "short.wav", "text"} <= known <= {"missing.wav", "short.wav", "text", "silent.wav"}


def test_strict_stops_and_refusing_long_ones_can_be_asked_for(work, manifest, model):
    with pytest.raises(UserError, match=r"no such recording|end is missing|cannot be read"):
        replace(work, strict=True).hear()
    sound = [one for one in work.recordings if one.problem is None and one.id != "long"]
    with pytest.raises(UserError, match="is silent"):
        replace(work, recordings=sound, strict=True).hear()
    only = [one for one in work.recordings if one.id == "long"]
    (refused,) = replace(work, recordings=only, long_form="refuse").hear()
    assert "clips over 30 s are refused" in str(refused.problem)


def test_files_and_folders_need_no_manifest(manifest, model, tmp_path):
    shutil.copytree(manifest.parent / "audio", tmp_path / "audio")
    found = read_recordings([tmp_path / "audio"])
    assert len(found) == len(list((tmp_path / "audio").iterdir()))
    assert {one.id.rpartition("/")[2] for one in found if one.problem} >= {"text"}
    (one,) = Transcription(read_recordings([tmp_path / "audio" / "long.wav"]), model).hear()
    assert one.text
    with pytest.raises(UserError, match="nowhere: no such file; give a manifest"):
        read_recordings([tmp_path / "nowhere"])


def test_files_of_one_name_and_two_endings_have_ids_of_their_own(manifest, tmp_path):
    for name in ("one.wav", "one.flac", "two.wav"):
        shutil.copy(manifest.parent / "audio" / "short.wav", tmp_path / name)
    found = [recording.id for recording in read_recordings([tmp_path])]
    assert found == [str(tmp_path / name) for name in ("one.flac", "one.wav", "two")]


def test_a_segment_is_not_heard_as_its_whole_recording(manifest, tmp_path):
    shutil.copy(manifest.parent / "audio" / "short.wav", tmp_path / "short.wav")
    rows = tmp_path / "segments.jsonl"
    rows.write_text('{"audio_filepath": "short.wav", "offset": 0, "duration": 20.0}\n')
    assert "its end is missing" in read_recordings([rows])[0].problem
    rows.write_text('{"audio_filepath": "short.wav", "offset": 0.5, "duration": 0.5}\n')
    with pytest.raises(UserError, match=r"segments.jsonl:1: is a segment \(offset 0.5 s, duration 0.5 s\)"):
        read_recordings([rows])


@pytest.mark.skipif(sys.platform != "linux", reason="Ray is only tried on Linux")
def test_ray_hears_the_same(work, whole, tmp_path):
    pytest.importorskip("ray")
    replace(work, workforce=Workforce(1, "ray")).write(tmp_path / "out.jsonl")
    assert files(tmp_path)["out.jsonl.rejected.jsonl"] == whole["out.jsonl.rejected.jsonl"]
    assert [row["id"] for row in rows(files(tmp_path)["out.jsonl"])] == [r["id"] for r in rows(whole["out.jsonl"])]
