import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made import tone

from syn2real.errors import UserError
from syn2real.sealing import partial_path
from syn2real.speech.corpora import IMPORTERS, import_folder, import_tuxpaint
from syn2real.speech.corpora.importing import Clip, distinct, import_clips, safe
from syn2real.speech.corpora.journal import Journal
from syn2real.speech.corpora.selection import Sieve, draw, split_name, splits_of


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def clips(folder: Path, number: int) -> list[Clip]:
    found = []
    for index in range(number):
        path = folder / f"{index}.wav"
        if index % 5 != 3:  # every fifth is missing
            tone(path, 0.5, 200 + 10 * index)
        found.append(Clip(path.name, path, f"clip/{index % 4}", f"text {index}", {"extra": {"number": index}}))
    return found


def test_an_interrupted_import_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = clips(tmp_path / "in", 12)
    whole = import_clips(tmp_path / "whole", plan, origin={"kind": "x"}, skipped=[("a", "why")], filtered={"rule": 2})
    from syn2real.speech import audio

    decoded: list[str] = []
    read = audio.read

    def watched(path: Path, rate: int = audio.SAMPLE_RATE):  # type: ignore[no-untyped-def]
        if len(decoded) == 5:
            raise KeyboardInterrupt
        decoded.append(path.name)
        return read(path, rate)

    monkeypatch.setattr(audio, "read", watched)
    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        import_clips(part, plan, origin={"kind": "x"}, skipped=[("a", "why")], filtered={"rule": 2})
    assert not part.exists() and partial_path(part).is_dir()
    with (partial_path(part) / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"seco')  # a line that a kill cut short
    decoded.clear()
    monkeypatch.setattr(audio, "read", lambda path, rate=16_000: (decoded.append(path.name), read(path, rate))[1])
    report = import_clips(part, plan, origin={"kind": "x"}, skipped=[("a", "why")], filtered={"rule": 2})
    assert decoded == [f"{n}.wav" for n in (6, 7, 9, 10, 11)]  # none of the first is read again
    assert bytes_of(part) == bytes_of(tmp_path / "whole")
    assert report.skipped == whole.skipped and report.left_out == {"rule": 2, "why": 1, "no such recording": 2}
    assert [u.id for u in report.corpus][:5] == ["clip/0", "clip/1", "clip/2", "clip/0-2", "clip/1-2"]


def test_an_import_killed_at_its_very_end_leaves_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = clips(tmp_path / "in", 3)
    import_clips(tmp_path / "whole", plan, origin={"kind": "x"})

    def kill(directory: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("syn2real.speech.corpora.importing.forget", kill)
        with pytest.raises(KeyboardInterrupt):
            import_clips(tmp_path / "part", plan, origin={"kind": "x"})
    assert {"import.json", "journal.jsonl"} <= {path.name for path in partial_path(tmp_path / "part").iterdir()}
    import_clips(tmp_path / "part", plan, origin={"kind": "x"})
    assert bytes_of(tmp_path / "part") == bytes_of(tmp_path / "whole")


def test_another_plan_starts_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = clips(tmp_path / "in", 6)
    from syn2real.speech import audio

    def interrupted(path: Path, samples: object, rate: int = 16_000) -> None:
        if len(list(path.parent.glob("*"))) >= 2:
            raise KeyboardInterrupt
        write(path, samples, rate)

    write = audio.write_flac
    monkeypatch.setattr(audio, "write_flac", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_clips(tmp_path / "out", plan, origin={"kind": "x"})
    monkeypatch.setattr(audio, "write_flac", write)
    fewer = import_clips(tmp_path / "out", plan[2:], origin={"kind": "x"})
    assert [u.extra["number"] for u in fewer.corpus] == [2, 4, 5]
    assert len(list((tmp_path / "out" / "audio").iterdir())) == 3


def test_recordings_that_were_changed_in_place_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = clips(tmp_path / "in", 3)
    from syn2real.speech import audio

    write, written = audio.write_flac, []

    def interrupted(path: Path, samples: np.ndarray, rate: int = 16_000) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, samples, rate)

    with monkeypatch.context() as patch:
        patch.setattr(audio, "write_flac", interrupted)
        with pytest.raises(KeyboardInterrupt):
            import_clips(tmp_path / "out", plan, origin={"kind": "x"})
    samples, rate = soundfile.read(plan[0].path, dtype="int16")
    size = plan[0].path.stat().st_size
    soundfile.write(plan[0].path, samples // 2, rate)
    assert plan[0].path.stat().st_size == size
    again = import_clips(tmp_path / "out", plan, origin={"kind": "x"})
    found = soundfile.read(again.corpus[0].audio_filepath, dtype="int16")[0]
    assert abs(int(found.max()) - int(samples.max()) // 2) <= 2


def test_one_import_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "plan")
    with pytest.raises(UserError, match="another import is at work here"):
        Journal(tmp_path, "plan")
    journal.add({"seconds": 1.0})
    journal.close()
    assert Journal(tmp_path, "plan").outcomes == [{"seconds": 1.0}]


def test_killed_at_any_moment(tmp_path: Path) -> None:
    for index in range(60):
        tone(tmp_path / "in" / f"{index}.wav", 0.2, 200 + index)
    table = tmp_path / "in" / "list.csv"
    table.write_text("file,text\n" + "".join(f"{n}.wav,words {n}\n" for n in range(60)))
    import_folder(tmp_path / "whole", table)
    code = (
        "import sys; from pathlib import Path; from syn2real.speech.corpora import import_folder;"
        "import_folder(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    part, kills = tmp_path / "part", 0
    for goal in (5, 30):
        running = subprocess.Popen([sys.executable, "-c", code, str(part), str(table)], stderr=subprocess.DEVNULL)
        audio = partial_path(part) / "audio"
        while running.poll() is None and not (audio.is_dir() and len(list(audio.iterdir())) >= goal):
            time.sleep(0.002)
        if running.poll() is None:
            os.kill(running.pid, signal.SIGKILL)
            kills += 1
        running.wait()
    assert kills and not part.exists()
    import_folder(part, table)
    assert bytes_of(part) == bytes_of(tmp_path / "whole")
    assert sorted(path.name for path in part.iterdir()) == ["audio", "import.json", "manifest.jsonl"]


def test_bytes_without_a_file_are_read_one_at_a_time(tmp_path: Path) -> None:
    sounds = [tone(tmp_path / f"{n}.flac", 0.3, 300 + n).read_bytes() for n in range(3)] + [b"no sound"]
    asked: list[int] = []

    def content(index: int) -> bytes:
        asked.append(index)
        return sounds[index]

    made = [
        Clip(str(n), Path(f"{n}.flac"), str(n), "words", content=lambda n=n: content(n))  # type: ignore[misc]
        for n in range(4)
    ]
    assert asked == []
    report = import_clips(tmp_path / "out", made, origin={"kind": "x"})
    assert asked == [0, 1, 2, 3] and len(report.corpus) == 3
    assert report.skipped == (("3", "cannot be read as audio; convert it to FLAC, WAV or Ogg"),)
    assert not list((tmp_path / "out").rglob("scratch*"))


def test_a_draw_depends_on_ids_and_seed_and_grows(tmp_path: Path) -> None:
    every = [Clip(str(n), Path(), f"c{n}", "x") for n in range(200)]
    small, large = draw(every, 20, 1), draw(every, 60, 1)
    assert {c.id for c in small} < {c.id for c in large} and len(small) == 20
    assert [c.id for c in small] == sorted((c.id for c in small), key=lambda name: int(name[1:]))
    assert {c.id for c in draw(every[::-1], 20, 1)} == {c.id for c in small} != {c.id for c in draw(every, 20, 2)}
    assert draw(every, None) == draw(every, 900) == every
    with pytest.raises(UserError, match="limit must be 1 or more, not 0"):
        draw(every, 0)


def test_capitals_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = tone(tmp_path / "a.wav")
    import_clips(tmp_path / "1", [Clip("a", sound, "a", "LOUD WORDS")], origin={})
    assert "every transcript is in capitals" in capsys.readouterr().err
    import_clips(tmp_path / "2", [Clip("a", sound, "a", "LOUD"), Clip("b", sound, "b", "soft")], origin={})
    assert "capitals" not in capsys.readouterr().err


def test_nothing_left_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing to import; left out were channel is not far, 3 of them"):
        import_clips(tmp_path / "out", [], origin={}, filtered={"channel is not far": 3})
    assert list(tmp_path.iterdir()) == []


def test_the_record_says_what_was_made_of_what(tmp_path: Path) -> None:
    plan = clips(tmp_path / "in", 5)
    import_clips(tmp_path / "out", plan, origin={"kind": "x", "channel": "far"}, filtered={"rule": 7}, limit=4, seed=3)
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert record["kind"] == "x" and record["channel"] == "far" and record["filtered"] == {"rule": 7}
    assert record["limit"] == 4 and record["seed"] == 3
    assert record["utterances"] + len(record["skipped"]) == 4


def test_rules_count_what_they_are_first_to_leave_out() -> None:
    sieve = Sieve()
    assert [n for n in range(10) if not (sieve.rejects("small", n < 4) or sieve.rejects("even", n % 2 == 0))] == [
        5,
        7,
        9,
    ]
    assert sieve.left_out == {"small": 4, "even": 3}


def test_splits_go_by_their_own_name_or_ours() -> None:
    assert [split_name(n) for n in ("devel", "validation", "Training", "other")] == ["dev", "dev", "train", "other"]
    there = ["train", "devel", "test"]
    assert splits_of(None, there) == there
    assert splits_of(["dev", "test"], there) == splits_of(["devel", "test"], there) == ["devel", "test"]
    with pytest.raises(UserError, match=r"no split 'tset'.*did you mean 'test'"):
        splits_of(["tset"], there)


def test_names_are_safe_and_distinct() -> None:
    assert [safe(name) for name in ("a/b c", "../x", "..", "é-1.5", "a\0b")] == ["a-b-c", "x", "clip", "é-1.5", "a-b"]
    taken: set[str] = set()
    assert [distinct(name, taken) for name in ("a/b", "a b", "A-B", "a/b")] == ["a/b", "a b-2", "A-B-3", "a/b-4"]


def test_importers_have_names() -> None:
    assert IMPORTERS.get("tuxpaint") is import_tuxpaint
    kinds = {"asterisk", "commonvoice", "folder", "hf", "kaldi", "librispeech", "manifest", "slurp", "speechocean762"}
    assert kinds < set(IMPORTERS.names())
    with pytest.raises(UserError, match="did you mean 'tuxpaint'"):
        IMPORTERS.get("tuxpant")
