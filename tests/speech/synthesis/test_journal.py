"""A restart believes what the journals say, and only that; no torn clip is taken for a whole one."""

import json
from dataclasses import replace

import pytest

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.synthesis import SynthesisSettings, journal, rendering, synthesize
from syn2real.speech.synthesis.journal import Journal, read_journal
from syn2real.speech.synthesis.outcome import Outcome

SETTINGS = SynthesisSettings(engines=("espeak",), seed=6)


@pytest.fixture
def cut(tmp_path, lines, monkeypatch):
    """A folder whose run was killed after six of ten clips."""
    made = []
    real = audio.flac_bytes

    def counted(samples):
        made.append(1)
        if len(made) > 6:
            raise KeyboardInterrupt
        return real(samples)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(audio, "flac_bytes", counted)
        synthesize(lines, SETTINGS, tmp_path / "cut", 1)
    return tmp_path / "cut"


@pytest.fixture
def whole(tmp_path, lines, files):
    """What an unbroken run gives."""
    synthesize(lines, SETTINGS, tmp_path / "whole", 1)
    return files(tmp_path / "whole")


@pytest.fixture
def spoken(monkeypatch):
    """The ids spoken from here on."""
    ids = []
    real = rendering.render
    for place in ("syn2real.speech.synthesis.backends.render",):
        monkeypatch.setattr(place, lambda rendition: ids.append(rendition.id) or real(rendition))
    return ids


def clips(folder):
    return sorted((folder / "audio").glob("*.flac"))


def test_what_a_journal_has_is_not_spoken_again(cut, whole, lines, files, spoken):
    kept = {path.name: path.stat().st_mtime_ns for path in clips(cut)}
    assert len(kept) == 6
    synthesize(lines, SETTINGS, cut, 1)
    assert len(spoken) == 4 and files(cut) == whole
    assert all((cut / "audio" / name).stat().st_mtime_ns == before for name, before in kept.items())
    synthesize(lines, SETTINGS, cut, 1)
    assert len(spoken) == 4 and files(cut) == whole


def test_no_clip_is_opened_on_the_way(cut, lines, monkeypatch):
    opened = []
    real = audio.info
    monkeypatch.setattr(audio, "info", lambda path: opened.append(path) or real(path))
    synthesize(lines, SETTINGS, cut, 1)
    synthesize(lines, SETTINGS, cut, 1)
    assert opened == []


def damage_none(path):
    path.unlink()


def damage_short(path):
    path.write_bytes(path.read_bytes()[:-20])


def damage_zeros(path):
    """As a power cut leaves it: the size is right and the blocks were never written."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [damage_none, damage_short, damage_zeros])
def test_a_clip_that_is_not_what_its_line_says_is_made_again(cut, whole, lines, files, spoken, damage):
    damage(clips(cut)[3])
    synthesize(lines, SETTINGS, cut, 1)
    assert len(spoken) == 5 and files(cut) == whole


@pytest.mark.parametrize("damage", [damage_none, damage_short])
def test_also_in_a_finished_folder(tmp_path, whole, lines, files, spoken, damage):
    damage(clips(tmp_path / "whole")[3])
    synthesize(lines, SETTINGS, tmp_path / "whole", 1)
    assert len(spoken) == 1 and files(tmp_path / "whole") == whole


@pytest.mark.parametrize("bytes_lost", [1, 5, 30])
def test_a_torn_line_is_no_line(cut, whole, lines, files, spoken, bytes_lost):
    (path,) = (cut / "journals").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-bytes_lost])
    synthesize(lines, SETTINGS, cut, 1)
    assert len(spoken) == (4 if bytes_lost == 1 else 5) and files(cut) == whole


@pytest.mark.parametrize("line", ["null", "[1]", "7", '"x"', '{"file": 1}', '{"other": 1}', "\x00\x00", "é{"])
def test_lines_of_anything_else_are_skipped(tmp_path, line):
    path = tmp_path / "j.jsonl"
    good = Outcome("a-r0.flac", 0, 10, 20, 30)
    path.write_text(f"{line}\n{json.dumps(good.row)}\n{line}", encoding="latin-1")
    assert list(read_journal(path)) == [(good, False)]


def test_clips_before_a_mark_are_taken_at_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FLUSH_EVERY", 2)
    (tmp_path / "audio").mkdir()
    writer = Journal(tmp_path, "t")
    for n in range(5):
        writer.keep(Outcome(f"{n}.flac", 0, 1), bytes([n]))
    writer.close()
    assert [flushed for _, flushed in read_journal(tmp_path / "journals" / "t-0.jsonl")] == [True] * 4 + [False]
    other = Journal(tmp_path, "t")
    other.add(Outcome("x.flac", 0, problem="no"))
    other.close()
    assert (tmp_path / "journals" / "t-1.jsonl").is_file()


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, whole, lines, files, spoken, monkeypatch):
    folder = tmp_path / "full"
    real = Journal.keep
    kept = []

    def full(self, outcome, clip):
        if len(kept) == 5:
            raise OSError(28, "No space left on device", str(folder / "audio" / outcome.file))
        kept.append(outcome)
        return real(self, outcome, clip)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Journal, "keep", full)
        synthesize(lines, SETTINGS, folder, 1)
    assert len(clips(folder)) == 5
    spoken.clear()
    synthesize(lines, SETTINGS, folder, 1)
    assert len(spoken) == 5 and files(folder) == whole


def test_two_runs_in_one_folder_are_kept_apart(cut, lines, monkeypatch):
    from syn2real.speech import sharing
    from syn2real.speech.sharing import Shard
    from syn2real.speech.synthesis.sharing import Desk

    monkeypatch.setattr(sharing, "PATIENCE", 0.1)
    desk = Desk(cut, Shard(), (cut / "synthesis.json").read_text())
    with pytest.raises(UserError, match="another run is at work here"):
        synthesize(lines, SETTINGS, cut, 1)
    desk.close()
    assert len(synthesize(lines, SETTINGS, cut, 1)) == 10
    with pytest.raises(UserError, match="other settings"):
        synthesize(lines, replace(SETTINGS, seed=7), cut, 1)


def test_a_record_that_a_kill_cut_short_is_written_again(cut, whole, lines, files):
    record = cut / "synthesis.json"
    record.write_text(record.read_text()[:40])
    synthesize(lines, SETTINGS, cut, 1)
    assert files(cut) == whole
