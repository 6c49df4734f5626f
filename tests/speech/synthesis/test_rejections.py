"""What cannot be spoken is tried by a second voice and listed; an engine that cannot speak ends the run."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
import soundfile

from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus, Sentence
from syn2real.speech.synthesis import (
    Cast,
    Judges,
    SynthesisSettings,
    Verdict,
    Workforce,
    plan,
    read_rejections,
    synthesize,
)
from syn2real.speech.synthesis.rendition import another
from syn2real.speech.synthesis.watch import DOUBTFUL, HOPELESS

TWO = SynthesisSettings(voices=("espeak:en-US+f2", "espeak:en-US+m3"), seed=3)
BAD = [
    Sentence("empty", "   "),
    Sentence("long", "a very large house " * 110),
    Sentence("emoji", "😀 🎉"),
    Sentence("minute", "a very large house and " * 40),
]

# A program that speaks, but not every text: it fails, says nothing, or kills the process that runs it.
PROGRAM = """
echo "$1" >> STATE/calls
case "$1" in *fail*) touch STATE/failed;; esac
if [ -e STATE/gone ] || [ -e STATE/failed ]; then rm -f STATE/failed; echo the model is gone >&2; exit 1; fi
case "$1" in *murder*) kill -SEGV $PPID;; esac
case "$1" in *silent*) cp STATE/silence.wav "$2";; *) cp STATE/tone.wav "$2";; esac
"""


@pytest.fixture
def program(tmp_path):
    """Settings of the command engine with `PROGRAM`, and the folder that steers it."""
    state = tmp_path / "state"
    state.mkdir()
    tone = np.sin(np.arange(8000) * 0.2) * 0.3
    soundfile.write(state / "tone.wav", tone, 16_000)
    soundfile.write(state / "silence.wav", tone * 0, 16_000)
    (state / "speak.sh").write_text(PROGRAM.replace("STATE", str(state)))
    run = f"sh {state}/speak.sh {{text}} {{output}}"
    return SynthesisSettings(engines=("command",), options={"command": {"run": run, "voices": "one,two"}}), state


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_lines_are_listed_and_the_rest_is_spoken(tmp_path, lines, files, workers):
    corpus = synthesize([*lines[:5], *BAD, *lines[5:]], TWO, tmp_path / "all", workers)
    assert [u.extra["sentence_id"] for u in corpus] == [s.id for s in lines]
    assert Corpus.load(tmp_path / "all" / "manifest.jsonl") == corpus
    rejected = read_rejections(tmp_path / "all")
    assert [r.sentence_id for r in rejected] == ["empty", "long", "emoji", "minute"]
    assert [len(r.tried) for r in rejected] == [0, 0, 0, 2]
    assert rejected[0].reason == "has no text" and "letter" in rejected[2].reason
    assert {attempt["voice"] for attempt in rejected[3].tried} == set(TWO.voices)
    assert all("split the sentence" in attempt["reason"] for attempt in rejected[3].tried)
    before = files(tmp_path / "all")
    synthesize([*lines[:5], *BAD, *lines[5:]], TWO, tmp_path / "all", 1)
    assert files(tmp_path / "all") == before
    alone = synthesize(lines, TWO, tmp_path / "alone", 1)
    assert [u.extra for u in alone] == [u.extra for u in corpus]


def test_strict_runs_stop_at_the_first(tmp_path, lines):
    with pytest.raises(UserError, match=r"sentence 'emoji' \('😀 🎉'\) has no letter and no digit"):
        synthesize([*lines, BAD[2]], TWO, tmp_path, 1, on_problem="stop")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"sentence 'minute' .*cannot be spoken: .*split the sentence"):
        synthesize([*lines[:3], BAD[3], *lines[3:]], TWO, tmp_path, 1, on_problem="stop")
    assert len(list((tmp_path / "audio").glob("*.flac"))) == 3 and not (tmp_path / "manifest.jsonl").exists()
    assert len(synthesize([*lines[:3], BAD[3], *lines[3:]], TWO, tmp_path, 1)) == 10


def test_another_attempt_has_another_voice_and_its_own_draws():
    settings = replace(TWO, voices=())
    cast = Cast.choose(settings)
    for first in plan([Sentence(str(n), "x") for n in range(50)], settings, cast):
        second = another(first, {first.voice.id}, settings, cast)
        assert second.voice != first.voice and second.seed != first.seed and second.rate != first.rate
        assert (second.id, second.file_name, second.attempt) == (first.id, first.file_name, 1)
        assert another(first, {first.voice.id, second.voice.id}, settings, cast) is None
    one = replace(TWO, voices=TWO.voices[:1])
    assert another(first, {one.voices[0]}, one, Cast.choose(one)) is None


def test_what_an_engine_fails_on_is_listed_with_its_words(tmp_path, program):
    settings, state = program
    sentences = [
        Sentence(f"w{n}", f"{'fail' if n in (2, 5) else 'silent' if n == 7 else 'word'} {n}") for n in range(9)
    ]
    assert len(synthesize(sentences, settings, tmp_path / "out", 1)) == 6
    rejected = read_rejections(tmp_path / "out")
    assert [(r.sentence_id, len(r.tried)) for r in rejected] == [("w2", 2), ("w5", 2), ("w7", 2)]
    assert "the model is gone" in rejected[0].reason and "silent" in rejected[2].reason
    calls = (state / "calls").read_text().splitlines()
    synthesize(sentences, settings, tmp_path / "out", 1)
    assert (state / "calls").read_text().splitlines() == calls, "a finished run asked the engine again"


def test_an_engine_that_stops_ends_the_run_and_goes_on_when_mended(tmp_path, program, files):
    settings, state = program
    sentences = [Sentence(f"w{n}", f"word {n}") for n in range(40)]
    synthesize(sentences[:10], settings, tmp_path / "few", 1)
    (state / "gone").touch()
    with pytest.raises(UserError, match=f"command could speak none of {HOPELESS} sentences: .*the model is gone"):
        synthesize(sentences, settings, tmp_path / "out", 1)
    (state / "gone").unlink()
    (state / "calls").unlink()

    def failing(samples, rendition):
        calls = len((state / "calls").read_text().splitlines())
        if calls == 12:
            (state / "gone").touch()

    with pytest.raises(UserError, match=r"command no longer speaks what it spoke before: .*the model is gone"):
        synthesize(sentences, settings, tmp_path / "out", 1, judges=Judges(clip=failing))
    assert len((state / "calls").read_text().splitlines()) == 12 + DOUBTFUL + 1
    assert len(list((tmp_path / "out" / "audio").iterdir())) == 12
    (state / "gone").unlink()
    assert len(synthesize(sentences, settings, tmp_path / "out", 1)) == 40
    assert read_rejections(tmp_path / "out") == []
    assert len((state / "calls").read_text().splitlines()) == 12 + DOUBTFUL + 1 + 28
    synthesize(sentences, settings, tmp_path / "whole", 1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_nothing_spoken_is_an_error_that_leaves_nothing_in_the_way(tmp_path, program):
    settings, _ = program
    for sentences in ([Sentence("a", "fail"), Sentence("b", "fail too")], [Sentence("a", "…")]):
        with pytest.raises(UserError, match="nothing could be spoken"):
            synthesize(sentences, settings, tmp_path / "out", 1)
        assert not (tmp_path / "out" / "manifest.jsonl").exists()
    assert len(synthesize([Sentence("a", "word")], settings, tmp_path / "out", 1)) == 1


def test_a_text_that_kills_its_worker_is_found_and_listed(tmp_path, program, files):
    settings, _ = program
    sentences = [Sentence(f"w{n}", f"{'murder' if n == 17 else 'word'} {n}") for n in range(40)]
    corpus = synthesize(sentences, settings, tmp_path / "out", 2)
    assert len(corpus) == 39
    (rejected,) = read_rejections(tmp_path / "out")
    assert rejected.sentence_id == "w17" and "the process that spoke it died" in rejected.reason
    rest = [s for s in sentences if s.id != "w17"]
    synthesize(rest, settings, tmp_path / "rest", 1)
    assert files(tmp_path / "rest" / "audio") == files(tmp_path / "out" / "audio")
    with pytest.raises(UserError, match="the process that spoke it died"):  # also where it alone is left
        synthesize([sentences[17]], settings, tmp_path / "last", 2)


@dataclass(frozen=True)
class Refuses:
    """A judge that refuses the clips of one voice."""

    voice: str

    def __call__(self, samples, rendition):
        return f"{self.voice} mumbles" if rendition.voice.id == self.voice else None


class Measures:
    """A batch judge that refuses by the sentence, and remembers what it was asked."""

    def __init__(self, refused=(), stop_after=None):
        self.refused, self.asked, self.stop_after = refused, [], stop_after

    def __call__(self, clips, heard):
        for clip in clips:
            if len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append((clip.rendition.id, clip.rendition.attempt))
            assert clip.path.is_file() and clip.duration > 0.3
            bad = (clip.rendition.sentence.id, clip.rendition.attempt) in self.refused
            yield clip, Verdict("cannot be understood" if bad else None, {"cer": 0.5 if bad else 0.0})


@pytest.mark.parametrize("workers", [1, 2])
def test_refused_clips_are_spoken_by_another_voice(tmp_path, lines, workers):
    judges = Judges(clip=Refuses(TWO.voices[0]), stated={"refuses": TWO.voices[0]})
    corpus = synthesize(lines, TWO, tmp_path, workers, judges=judges)
    assert len(corpus) == 10 and {u.speaker for u in corpus} == {TWO.voices[1]}
    assert {u.extra.get("attempt") for u in corpus} == {None, 1}
    with pytest.raises(UserError, match="other checks"):
        synthesize(lines, TWO, tmp_path, workers)


def test_verdicts_on_all_clips_are_kept_and_lead_the_same_way(tmp_path, lines, files):
    refused = {("l2", 0), ("l4", 0), ("l4", 1)}
    whole = Measures(refused)
    corpus = synthesize(lines, TWO, tmp_path / "whole", 1, judges=Judges(batch=whole))
    assert len(whole.asked) == 12
    assert {u.extra["sentence_id"]: u.extra.get("attempt") for u in corpus}["l2"] == 1 and len(corpus) == 9
    assert all(u.extra["cer"] == 0.0 for u in corpus)
    (rejected,) = read_rejections(tmp_path / "whole")
    assert [attempt["cer"] for attempt in rejected.tried] == [0.5, 0.5] and rejected.sentence_id == "l4"
    assert len(files(tmp_path / "whole" / "audio")) == 9
    asked = []
    for _ in range(4):
        judge = Measures(refused, stop_after=4)
        with suppress(KeyboardInterrupt):
            synthesize(lines, TWO, tmp_path / "cut", 1, judges=Judges(batch=judge))
        asked += judge.asked
    assert sorted(asked) == sorted(whole.asked), "a verdict was asked for twice"
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_the_command_counts_what_it_leaves_out(tmp_path):
    text = tmp_path / "menu.txt"
    text.write_text("One coffee.\n😀😀\n\nTwo teas.\n")
    command = [sys.executable, "-m", "syn2real", "synthesize", str(text), "-o", str(tmp_path / "out"), "--workers", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, env=os.environ)
    answer = json.loads(done.stdout)
    assert (answer["utterances"], answer["rejected"]) == (2, 1)
    assert "warning: 1 not spoken" in done.stderr and "menu-00002-r0 ('😀😀'): has no letter" in done.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 utterances" in again.stdout and "1 rejected" in again.stdout
    strict = subprocess.run([*command, "--strict", "--overwrite"], capture_output=True, text=True, check=False)
    assert strict.returncode == 1 and strict.stderr.startswith("error: sentence 'menu-00002'")


def test_a_workforce_that_cannot_be_is_refused():
    for given, problem in (
        ({"workers": 0}, "workers must be 1 or more"),
        ({"backend": "rya"}, "did you mean 'ray'"),
        ({"ray_address": "auto"}, "add --backend ray"),
        ({"backend": "ray", "ray_gpus": -1}, "GPUs of a worker"),
    ):
        with pytest.raises(UserError, match=problem):
            Workforce(**given)
