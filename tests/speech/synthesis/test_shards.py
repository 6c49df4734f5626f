"""Shares spoken apart or together make the corpus that one run makes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from syn2real.errors import UserError
from syn2real.sealing import partial_path
from syn2real.speech import sharing
from syn2real.speech.corpus import Corpus, Sentence
from syn2real.speech.synthesis import (
    Cast,
    Judges,
    Shard,
    SharesLeft,
    SynthesisSettings,
    Verdict,
    Workforce,
    plan,
    read_rejections,
    synthesize,
    synthesize_sealed,
)
from syn2real.speech.synthesis.sharing import Desk

SETTINGS = SynthesisSettings(engines=("espeak",), renditions=2, seed=8)
BAD = Sentence("bad", "🙂")
ONE = Workforce(1)


@pytest.fixture
def whole(tmp_path, lines, files):
    """What a run of the whole gives."""
    synthesize([*lines, BAD], SETTINGS, tmp_path / "whole", 1)
    return files(tmp_path / "whole")


def share(lines, output, number, count):
    return synthesize_sealed([*lines, BAD], SETTINGS, output, shard=Shard(number, count), workforce=ONE)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_the_last_share_completes_the_corpus(tmp_path, lines, whole, files, order):
    output = tmp_path / "out"
    for number in order[:2]:
        with pytest.raises(SharesLeft, match=rf"share {number} of 3 is spoken; \d+ of 22 renditions") as left:
            share(lines, output, number, 3)
        assert not output.exists() and left.value.total == 22
    corpus = share(lines, output, order[2], 3)
    assert files(output) == whole and not partial_path(output).exists()
    assert Corpus.load(output / "manifest.jsonl") == corpus
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert share(lines, output, order[0], 3) == corpus
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_a_share_in_which_nothing_can_be_spoken_is_no_obstacle(tmp_path, lines, files):
    bad = [Sentence(f"bad{n}", "a very large house and " * 40) for n in range(3)]
    text, settings = [*lines[:2], *bad], replace(SETTINGS, renditions=1, voices=("espeak:en-US", "espeak:en-US+f2"))
    for number in range(1, 41):
        with suppress(SharesLeft):
            synthesize_sealed(text, settings, tmp_path / "out", shard=Shard(number, 40), workforce=ONE)
    synthesize(text, settings, tmp_path / "whole", 1)
    assert files(tmp_path / "out") == files(tmp_path / "whole") and len(read_rejections(tmp_path / "out")) == 3


def test_folders_copied_together_are_joined_by_a_run_of_the_whole(tmp_path, lines, whole, files, monkeypatch):
    for number in (1, 2):
        with pytest.raises(SharesLeft):
            share(lines, tmp_path / f"part{number}", number, 2)
    for number in (1, 2):
        shutil.copytree(partial_path(tmp_path / f"part{number}"), partial_path(tmp_path / "out"), dirs_exist_ok=True)
    monkeypatch.setattr("syn2real.speech.synthesis.backends.render", lambda rendition: pytest.fail("spoken again"))
    synthesize_sealed([*lines, BAD], SETTINGS, tmp_path / "out", workforce=ONE)
    assert files(tmp_path / "out") == whole


def sentence_id(rendition):
    return rendition.sentence.id


def test_shares_are_even_and_depend_on_the_sentence_alone():
    sentences = [Sentence(str(n), "x") for n in range(3000)]
    cast = Cast.choose(SETTINGS)
    renditions = list(plan(sentences, SETTINGS, cast))
    shares = [Shard(number, 4).of(renditions, sentence_id) for number in (1, 2, 3, 4)]
    assert sorted(r.id for s in shares for r in s) == sorted(r.id for r in renditions)
    assert all(1350 < len(s) < 1650 for s in shares)
    few = list(plan(sentences[:10], SETTINGS, cast))
    assert {r.id for r in Shard(2, 4).of(few, sentence_id)} <= {r.id for r in shares[1]}


def test_shares_at_the_same_time_and_one_killed(tmp_path, files):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Sentence number {n} is said by somebody.\n" for n in range(60)))
    command = [sys.executable, "-m", "syn2real", "synthesize", str(text), "--workers", "1", "-o"]
    runs = [start([*command, str(tmp_path / "out"), "--shard", f"{n}/3"]) for n in (1, 2, 3)]
    audio = partial_path(tmp_path / "out") / "audio"
    deadline = time.monotonic() + 30
    while not list(audio.glob("*.flac")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(runs[1].pid, signal.SIGKILL)
    said = [run.communicate()[0] for run in runs]
    assert [runs[0].returncode, runs[2].returncode] == [0, 0] and not (tmp_path / "out").exists()
    assert all("are left to the others" in said[place] for place in (0, 2))
    assert subprocess.run([*command, str(tmp_path / "out"), "--shard", "2/3"], check=False).returncode == 0
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


class Killed(BaseException):
    """Ends a run as a kill would: nothing catches it."""


def test_a_share_that_was_killed_before_its_clips_were_judged_is_waited_for(tmp_path, lines, files):
    judged = set()

    def judge(clips, heard):
        if not judged:
            judged.add("killed")
            raise Killed
        for clip in clips:
            yield clip, Verdict(figures={"check": {"cer": 0.0}})

    judges = Judges(batch=judge)
    settings = {"shard": Shard(1, 2), "workforce": ONE, "judges": judges}
    with pytest.raises(Killed):
        synthesize_sealed(lines, SETTINGS, tmp_path / "out", **settings)
    with pytest.raises(SharesLeft) as left:
        synthesize_sealed(lines, SETTINGS, tmp_path / "out", **(settings | {"shard": Shard(2, 2)}))
    assert left.value.left > 0
    corpus = synthesize_sealed(lines, SETTINGS, tmp_path / "out", **settings)
    assert len(corpus) == 20 and all("check" in utterance.extra for utterance in corpus)
    synthesize(lines, SETTINGS, tmp_path / "whole", 1, judges=judges)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_who_may_work_beside_whom(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "PATIENCE", 0.05)
    record = "{\n}\n"
    first, second = Desk(tmp_path, Shard(1, 2), record), Desk(tmp_path, Shard(2, 2), record)
    for shard, problem in (
        (Shard(1, 2), "this share is being spoken"),
        (Shard(1, 3), r"shares of another count \([12]-of-2\) are being spoken"),
        (Shard(), "another run is at work here"),
    ):
        with pytest.raises(UserError, match=problem):
            Desk(tmp_path, shard, record)
    first.close()
    second.close()
    Desk(tmp_path, Shard(1, 3), record).close()
    whole = Desk(tmp_path, Shard(), record)
    with pytest.raises(UserError, match="another run is at work here"):
        Desk(tmp_path, Shard(1, 2), record)
    whole.close()


def test_whoever_comes_second_to_the_end_leaves_it_alone(tmp_path, lines, whole, files):
    """Two shares find all spoken at the same time: one seals, and the other, which waited, sees that it is done."""
    output, unfinished = tmp_path / "out", partial_path(tmp_path / "out")
    with pytest.raises(SharesLeft):
        share(lines, output, 1, 2)
    late = Desk(unfinished, Shard(1, 2), (unfinished / "synthesis.json").read_text())
    assert late.alone()
    late.close()
    late = Desk(unfinished, Shard(1, 2), (unfinished / "synthesis.json").read_text())
    late._lock(8)  # LOCK_UN: as if it had asked for the lock, and waits
    share(lines, output, 2, 2)
    assert not late.alone()
    late.close()
    assert files(output) == whole


def test_of_two_counts_that_begin_together_one_at_most_goes_on(tmp_path, monkeypatch):
    """The second sits down while the first is between its own lock and the look at the others'."""
    record, seats = "{\n}\n", []
    Desk(tmp_path, Shard(1, 2), record).close()
    Desk(tmp_path, Shard(1, 3), record).close()
    locked = sharing._locked

    def meanwhile(descriptor, kind):
        free = locked(descriptor, kind)
        if kind == sharing.fcntl.LOCK_EX:  # the first's own lock
            monkeypatch.setattr(sharing, "_locked", locked)
            with suppress(UserError):
                seats.append(Desk(tmp_path, Shard(1, 3), record))
        return free

    monkeypatch.setattr(sharing, "_locked", meanwhile)
    with suppress(UserError):
        seats.append(Desk(tmp_path, Shard(1, 2), record))
    assert len(seats) <= 1
    for seat in seats:
        seat.close()


def test_recordings_of_something_else_are_left_alone(tmp_path, lines):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "mine.wav").write_bytes(b"mine")
    with pytest.raises(UserError, match="audio: holds recordings of something else"):
        synthesize(lines, SETTINGS, tmp_path, 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["audio", "mine.wav"]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3", "²/3"])
def test_shares_that_are_none(text):
    with pytest.raises(UserError, match=r"write I/N"):
        Shard.parse(text)


def test_an_output_that_holds_something_else_is_left_alone(tmp_path, lines):
    output = tmp_path / "out"
    synthesize_sealed(lines, SETTINGS, output, workforce=ONE)
    with pytest.raises(UserError, match="already exists"):
        synthesize_sealed(lines[:5], SETTINGS, output, workforce=ONE)
    with pytest.raises(UserError, match="cannot overwrite"):
        synthesize_sealed(lines, SETTINGS, output, shard=Shard(1, 2), overwrite=True)
    again = synthesize_sealed(lines[:5], SETTINGS, output, overwrite=True, workforce=ONE)
    assert len(again) == 10 and len(list((output / "audio").iterdir())) == 10
