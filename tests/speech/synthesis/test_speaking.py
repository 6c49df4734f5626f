"""Sentences become the same files however the run is cut, ordered, shared out or killed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.corpus import Corpus, Sentence
from syn2real.speech.engines import ENGINES, Voice
from syn2real.speech.synthesis import Cast, Rendition, SynthesisSettings, plan, render, set_level, synthesize, trim

THINGS = ("gato", "perro", "casa", "árbol", "sol", "luna", "montaña", "camión", "zapato", "elefante")
SENTENCES = [
    Sentence(f"s{n}", f"El {thing} número {n} está aquí.", domain="things") for n, thing in enumerate(THINGS, start=1)
]
ONE = SynthesisSettings(engines=("espeak",), language="es", seed=4)


def mixed() -> SynthesisSettings:
    """espeak, with Pico where it is installed."""
    weights = {"espeak": 2.0, "pico": 1.0}
    present = {name: weight for name, weight in weights.items() if ENGINES.get(name)().available() is None}
    return SynthesisSettings(engines=present, language="es", renditions=3, seed=4)


@pytest.fixture(autouse=True)
def _espeak():
    reason = ENGINES.get("espeak")().available()
    if reason is not None:
        pytest.skip(reason)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_corpus_holds_all_that_is_known(tmp_path):
    made = synthesize(SENTENCES, mixed(), tmp_path, workers=1)
    loaded = Corpus.load(tmp_path / "manifest.jsonl")
    assert loaded == made
    assert len(made) == 30 and made.domains == ["things"]
    for utterance in made:
        header = audio.info(utterance.audio_filepath)
        assert (header.rate, header.channels) == (16_000, 1)
        assert 0.8 < utterance.duration < 6
        assert utterance.source == "synthetic" and utterance.language == "es" and utterance.licence
        assert utterance.speaker == f"{utterance.engine}:{utterance.voice}"
        assert utterance.id == f"{utterance.extra['sentence_id']}-r{utterance.extra['rendition']}"
        assert 0.85 <= utterance.extra["rate"] <= 1.2 and 0.8 <= utterance.extra["pitch"] <= 1.25
    assert made.problems() == []
    record = json.loads((tmp_path / "synthesis.json").read_text())
    assert record["settings"]["seed"] == 4 and record["licences"] and record["versions"]["soxr"]


def test_renditions_differ_in_voice(tmp_path):
    settings = replace(mixed(), renditions=8)
    for sentence in SENTENCES[:4]:
        voices = [rendition.voice.id for rendition in plan([sentence], settings, Cast.choose(settings))]
        assert len(set(voices)) == 8
    few = replace(ONE, voices=("espeak:es+f2", "espeak:es+m3"), renditions=5)
    voices = [rendition.voice.name for rendition in plan(SENTENCES[:1], few, Cast.choose(few))]
    assert set(voices[:2]) == set(voices[2:4]) == {"es+f2", "es+m3"}


def test_more_renditions_leave_the_first_ones_alone():
    cast = Cast.choose(ONE)
    one = list(plan(SENTENCES, ONE, cast))
    three = list(plan(SENTENCES, replace(ONE, renditions=3), cast))
    assert [r for r in three if r.number == 0] == one


def test_any_subset_in_any_order_gives_the_same_audio(tmp_path):
    settings = replace(mixed(), renditions=2)
    synthesize(SENTENCES, settings, tmp_path / "all", workers=1)
    synthesize(SENTENCES[7:2:-2], settings, tmp_path / "some", workers=1)
    whole = files(tmp_path / "all" / "audio")
    part = files(tmp_path / "some" / "audio")
    assert len(part) == 6
    assert all(whole[name] == content for name, content in part.items())


def test_workers_change_nothing(tmp_path):
    settings = replace(mixed(), renditions=2)
    for workers in (1, 2):
        synthesize(SENTENCES, settings, tmp_path / str(workers), workers=workers)
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_seed_changes_everything(tmp_path):
    cast = Cast.choose(ONE)
    other = replace(ONE, seed=5)
    assert not {r.seed for r in plan(SENTENCES, ONE, cast)} & {r.seed for r in plan(SENTENCES, other, cast)}


KILLED = """
import sys
from pathlib import Path
from syn2real.speech.corpus import Sentence
from syn2real.speech.synthesis import SynthesisSettings, synthesize

if __name__ == "__main__":
    sentences = [Sentence(f"k{n}", f"Frase número {n} de la lista.") for n in range(int(sys.argv[3]))]
    synthesize(sentences, SynthesisSettings(language="es", seed=1), Path(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_run_resumes_to_the_same_bytes(tmp_path, workers):
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    command = [sys.executable, str(script), str(cut), str(workers), "200"]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.time() + 30
    while len(list((cut / "audio").glob("*.flac"))) < 20 and time.time() < deadline:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)  # the parent alone: its workers must notice and end
    run.wait()
    assert wait_for(lambda: not group_alive(run.pid)), "a worker outlived its parent"
    assert 20 <= len(list((cut / "audio").glob("*.flac"))) < 200
    assert not (cut / "manifest.jsonl").exists()
    kept = {path: path.stat().st_mtime_ns for path in (cut / "audio").glob("*.flac")}
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    subprocess.run([*command[:2], str(whole), "1", "200"], check=True, stderr=subprocess.DEVNULL)
    assert files(cut) == files(whole)


def wait_for(condition, seconds=10.0):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def group_alive(group: int) -> bool:
    """Whether a process of this group still runs (a zombie does not)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member) == group and state != "Z":
            return True
    return False


def test_damaged_clip_is_made_again(tmp_path):
    synthesize(SENTENCES[:2], ONE, tmp_path, workers=1)
    before = files(tmp_path)
    (tmp_path / "audio" / "s1-r0.flac").write_bytes(b"half")
    synthesize(SENTENCES[:2], ONE, tmp_path, workers=1)
    assert files(tmp_path) == before


def test_other_settings_or_text_in_the_same_directory_are_refused(tmp_path):
    synthesize(SENTENCES[:2], ONE, tmp_path, workers=1)
    before = files(tmp_path)
    with pytest.raises(UserError, match="other settings"):
        synthesize(SENTENCES[:2], replace(ONE, seed=9), tmp_path, workers=1)
    changed = [replace(SENTENCES[0], text="Otra cosa."), SENTENCES[1]]
    with pytest.raises(UserError, match="other sentences"):
        synthesize(changed, ONE, tmp_path, workers=1)
    assert files(tmp_path) == before


def test_engines_in_another_order_are_other_settings(tmp_path):
    settings = mixed()
    if len(settings.engines) < 2:
        pytest.skip("needs a second engine")
    synthesize(SENTENCES[:2], settings, tmp_path, workers=1)
    turned = replace(settings, engines=dict(reversed(settings.engines.items())))
    with pytest.raises(UserError, match="other settings"):
        synthesize(SENTENCES[:2], turned, tmp_path, workers=1)


@pytest.mark.parametrize(
    ("sentences", "changes", "problem"),
    [
        ([], {}, "no sentences"),
        ([Sentence("a", "hola"), Sentence("a", "adiós")], {}, "duplicate sentence id 'a'"),
        (None, {"engines": ("espek",)}, "did you mean 'espeak'"),
        (None, {"engines": ()}, "at least one engine"),
        (None, {"engines": {"espeak": 0}}, "weight of engine 'espeak'"),
        (None, {"voices": ("espeak:es+f22",)}, "did you mean 'f2'"),
        (None, {"voices": ("espeak:fr+f2",)}, "speaks 'fr', not 'es'"),
        (None, {"language": "xx"}, "no voice for 'xx'"),
        (None, {"renditions": 0}, "renditions must be 1 or more"),
        (None, {"rate_range": (1.2, 0.8)}, "rate_range must be"),
        (None, {"pitch_range": (0.0, 1.0)}, "pitch_range must be"),
        (None, {"level_range": (-20.0, 3.0)}, "level_range must be"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tmp_path, sentences, changes, problem):
    with pytest.raises(UserError, match=problem):
        synthesize(SENTENCES if sentences is None else sentences, replace(ONE, **changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_commercial_only_leaves_out_voices(monkeypatch):
    class Mixed(type(ENGINES.get("espeak")())):
        name = "espeak"

        def voices(self, language=None):
            return [replace(v, commercial_ok=v.name == "es+f2", licence="CC BY-NC") for v in super().voices(language)]

    monkeypatch.setattr("syn2real.speech.synthesis.cast.engine", lambda name, options: Mixed())
    cast = Cast.choose(replace(ONE, commercial_only=True))
    assert [voice.name for voice in cast.voices["espeak"]] == ["es+f2"]
    monkeypatch.setattr(Mixed, "voices", lambda self, language=None: [Voice("espeak", "x", "es", "es", 1, "NC", False)])
    with pytest.raises(UserError, match=r"no voice free for commercial use \(licences: NC\)"):
        Cast.choose(replace(ONE, commercial_only=True))


def test_engines_are_drawn_by_weight():
    voices = {name: tuple(Voice(name, v, "en", "en", 16_000, "x", True) for v in "ab") for name in "pq"}
    cast = Cast({"p": 3.0, "q": 1.0}, voices)
    sentences = [Sentence(str(n), "x") for n in range(2000)]
    drawn = [rendition.voice.engine for rendition in plan(sentences, SynthesisSettings(), cast)]
    assert 0.72 < drawn.count("p") / len(drawn) < 0.78


def test_margins_and_levels_are_alike_for_every_engine(tmp_path):
    settings = replace(mixed(), renditions=4, voices=())
    loudness = {}
    for rendition in plan(SENTENCES[:3], settings, Cast.choose(settings)):
        clip = render(rendition)
        heard = np.flatnonzero(np.abs(clip) > 0.02 * np.abs(clip).max()) / 16_000
        assert 0.09 < heard[0] < 0.26 and 0.09 < clip.size / 16_000 - heard[-1] < 0.30
        assert np.abs(clip).max() <= 0.95
        loudness.setdefault(rendition.voice.engine, []).append(20 * np.log10(np.sqrt((clip**2).mean())))
    means = [np.mean(levels) for levels in loudness.values()]
    assert all(-31 < mean < -19 for mean in means)


def test_trim_keeps_pauses_inside_and_a_frame_around():
    tone = np.sin(np.arange(1600) / 5).astype(np.float32)
    clip = np.concatenate([np.zeros(8000), tone, np.zeros(4800), tone, np.zeros(16_000)]).astype(np.float32)
    assert abs(trim(clip).size - (1600 + 4800 + 1600 + 320)) <= 160
    assert trim(np.zeros(5000, np.float32)).size == 0
    assert trim(np.zeros(3, np.float32)).size == 0


@given(st.floats(-40, -12), st.floats(0.001, 1.0))
def test_level_is_what_was_asked(level, loudness):
    noise = np.random.default_rng(0).uniform(-loudness, loudness, 4000).astype(np.float32)
    made = set_level(noise, level)
    assert 20 * np.log10(np.sqrt((made.astype(float) ** 2).mean())) == pytest.approx(level, abs=0.01)


def test_level_yields_to_the_peak():
    click = np.zeros(16_000, np.float32)
    click[100] = 0.5
    assert np.abs(set_level(click, -20)).max() == pytest.approx(10 ** (-0.5 / 20), abs=1e-4)


@given(st.lists(st.text(min_size=1, max_size=120), min_size=1, max_size=20, unique=True))
def test_file_names_are_safe_and_distinct(ids):
    voice = Voice("espeak", "es", "es", "es", 22_050, "GPL", True)
    names = [Rendition(Sentence(i, "x"), 0, voice, 1, 1, -23, (0.1, 0.1), 0).file_name for i in ids]
    assert len({name.lower() for name in names}) == len(ids)
    for name in names:
        assert len(name.encode()) < 120 and "/" not in name and not name.startswith(".") and name.isascii()


def test_workers_do_not_need_torch():
    code = "import sys, syn2real.speech.synthesis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
