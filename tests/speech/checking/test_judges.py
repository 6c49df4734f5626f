"""Clips checked while they are spoken: good ones stay as they are, bad ones are spoken by somebody else."""

import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.speech.checking import Limits
from syn2real.speech.checking.judges import CheckSettings, RecogniserJudge, SignalJudge
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import ENGINES, engine_of, find_voice
from syn2real.speech.synthesis import (
    Shard,
    SharesLeft,
    SynthesisSettings,
    plan,
    read_rejections,
    synthesize,
    synthesize_sealed,
)
from syn2real.speech.synthesis.cast import Cast

SENTENCES = [
    Sentence("s0", "turn the heating down in the bedroom tonight"),
    Sentence("s1", "what is the weather like in the north of france"),
]
SPEAKERS = {
    "ann": "espeak:en-US",
    "ben": "espeak:en-GB-x-rp",
    "cat": "espeak:en-GB-scotland",
    "dan": "espeak:en-US-nyc",
}


@pytest.fixture(autouse=True)
def _espeak() -> None:
    reason = ENGINES.get("espeak")().available()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def spoken_by(tmp_path) -> Callable[..., SynthesisSettings]:
    """Settings of an engine whose voices say the sentences, but for those named: they say what they should not."""
    folder = tmp_path / "said"
    folder.mkdir()

    def settings(wrong: dict[tuple[str, str], str], voices: str = "ann,ben,cat", seed: int = 0) -> SynthesisSettings:
        for name, speaker in SPEAKERS.items():
            voice = find_voice(speaker, {})
            for sentence in SENTENCES:
                text = wrong.get((name, sentence.id), sentence.text)
                samples, rate = engine_of(voice).speak(text, voice, 0.95, 1.0, 0)
                soundfile.write(folder / f"{name}-{sentence.text.split()[0]}.wav", samples, rate)
        (folder / "say.sh").write_text(f'cp "{folder}/$1-${{2%% *}}.wav" "$3"\n')
        run = f"sh {folder}/say.sh {{voice}} {{text}} {{output}}"
        options = {"command": {"run": run, "voices": voices}}
        return SynthesisSettings(engines=("command",), options=options, renditions=3, seed=seed)

    return settings


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_check_by_samples_changes_nothing_of_good_clips(tmp_path):
    settings = SynthesisSettings(renditions=2, seed=1)
    plain = synthesize(SENTENCES, settings, tmp_path / "plain", 1)
    for workers in (1, 2):
        checked = synthesize(SENTENCES, settings, tmp_path / f"{workers}", workers, judges=CheckSettings().judges())
        assert len(checked) == len(plain) == 4
        assert files(tmp_path / f"{workers}") == files(tmp_path / "plain")


def test_a_clip_that_is_cut_off_is_spoken_by_another_voice(tmp_path, spoken_by):
    settings = spoken_by({}, voices="ann,ben")
    path = tmp_path / "said" / "ann-turn.wav"
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[: round(0.35 * samples.size)], rate)
    settings = replace(settings, renditions=1, seed=seed_with(settings, "s0", "ann", renditions=1))
    corpus = synthesize(SENTENCES, settings, tmp_path / "out", 1, judges=CheckSettings().judges())
    assert {u.extra["sentence_id"]: (u.voice, u.extra.get("attempt")) for u in corpus}["s0"] == ("ben", 1)
    alone = replace(settings, voices=("command:ann",))
    corpus = synthesize(SENTENCES, alone, tmp_path / "alone", 1, judges=CheckSettings().judges())
    (rejected,) = read_rejections(tmp_path / "alone")
    assert len(corpus) == 1 and rejected.id == "s0-r0"
    assert "cut off" in rejected.reason or "too short for its text" in rejected.reason


def seed_with(settings: SynthesisSettings, sentence: str, voice: str, renditions: int = 3) -> int:
    """A seed by which that voice is drawn to say that sentence."""
    for seed in range(1000):
        drawn = replace(settings, renditions=renditions, seed=seed)
        for rendition in plan(SENTENCES, drawn, Cast.choose(drawn)):
            if (rendition.sentence.id, rendition.voice.name) == (sentence, voice):
                return seed
    raise AssertionError("no such seed")


def test_a_voice_that_says_something_else_is_replaced(tmp_path, spoken_by, tiny_en, cache):
    settings = spoken_by({("cat", "s0"): SENTENCES[1].text}, voices="ann,ben,cat,dan")
    settings = replace(settings, seed=seed_with(settings, "s0", "cat"))
    judges = CheckSettings("recogniser", tiny_en).judges()
    whole = tmp_path / "whole"
    corpus = synthesize(SENTENCES, settings, whole, 1, judges=judges)
    said = [u for u in corpus if u.extra["sentence_id"] == "s0"]
    assert len(corpus) == 6 and "cat" not in {u.voice for u in said}
    assert sorted(u.extra.get("attempt", 0) for u in said) == [0, 0, 1]
    assert all(0 <= u.extra["check"]["cer"] < 0.5 for u in corpus)
    assert json.loads((whole / "synthesis.json").read_text())["checks"]["by"] == "recogniser"
    with pytest.raises(UserError, match="other checks"):
        synthesize(SENTENCES, settings, whole, 1)

    # Killed after every verdict.
    for _ in range(8):
        with suppress(KeyboardInterrupt):
            killed = replace(judges, batch=Impatient(tiny_en))
            synthesize(SENTENCES, settings, tmp_path / "killed", 1, judges=killed)
    assert files(tmp_path / "killed") == files(whole)

    # Shared out.
    for number in (2, 3, 1):
        with suppress(SharesLeft):
            synthesize_sealed(SENTENCES, settings, tmp_path / "shared", shard=Shard(number, 3), judges=judges)
    assert files(tmp_path / "shared") == files(whole)


@dataclass(frozen=True)
class Impatient(RecogniserJudge):
    """Gives one verdict and is killed."""

    def __call__(self, clips, heard):
        for number, verdict in enumerate(super().__call__(clips, heard)):
            if number:
                raise KeyboardInterrupt
            yield verdict


def test_what_no_voice_is_understood_in_is_kept_and_flagged(tmp_path, spoken_by, tiny_en, cache):
    """All voices say s1 where the text is s0: as if the recogniser did not know the words."""
    settings = spoken_by({(name, "s0"): SENTENCES[1].text for name in SPEAKERS})
    corpus = synthesize(SENTENCES, settings, tmp_path / "out", 1, judges=CheckSettings("recogniser", tiny_en).judges())
    assert len(corpus) == 6 and not read_rejections(tmp_path / "out")
    flags = {u.id: u.extra["check"].get("flags") for u in corpus}
    assert [flags[f"s0-r{number}"] for number in range(3)] == [["misheard alike"]] * 3


def test_judges_say_what_they_go_by(tiny_en):
    assert CheckSettings().judges().stated == {}
    assert CheckSettings("none").judges().stated == {"by": "none"} and CheckSettings("none").judges().clip is None
    assert CheckSettings(limits=Limits.of({"pause": 3})).judges().stated["signal"]["pause"] == 3
    one = CheckSettings("recogniser", tiny_en).judges().stated
    assert one != CheckSettings("recogniser", tiny_en, Limits.of({"reject": 0.2})).judges().stated
    with pytest.raises(ValueError, match="name the recogniser"):
        CheckSettings("recogniser").judges()
    judge = pickle.loads(pickle.dumps(SignalJudge()))
    (rendition,) = plan(SENTENCES[:1], SynthesisSettings(), Cast.choose(SynthesisSettings()))
    assert "no speech" in (judge(np.zeros(16_000, np.float32), rendition) or "")
