"""A corpus checked as a whole: damage, voices, and what a real recogniser hears."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.checking import Limits, inspect, summarise
from syn2real.speech.checking.hearing import hear
from syn2real.speech.checking.limits import DEFAULTS
from syn2real.speech.corpus import Corpus, Sentence
from syn2real.speech.engines import ENGINES
from syn2real.speech.synthesis import SynthesisSettings, synthesize

TEXTS = ("turn the heating down in the bedroom tonight", "what is the weather like in the north of france")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Two sentences in three voices of espeak; the last clip of the first says the second."""
    if ENGINES.get("espeak")().available() is not None:
        pytest.skip("needs espeak")
    folder = tmp_path_factory.mktemp("spoken")
    voices = ("espeak:en-US", "espeak:en-GB-x-rp", "espeak:en-GB-scotland")
    settings = SynthesisSettings(engines=("espeak",), voices=voices, renditions=3, rate_range=(0.9, 0.9), seed=1)
    sentences = [Sentence(f"s{number}", text) for number, text in enumerate(TEXTS)]
    made = synthesize(sentences, settings, folder, workers=1)
    wrong = replace(made[2], audio_filepath=made[3].audio_filepath)
    return Corpus.of(wrong if utterance.id == wrong.id else utterance for utterance in made)


def test_the_clip_that_says_something_else_is_found(corpus, tiny_en, cache):
    found = inspect(corpus, recogniser=tiny_en, language="en")
    assert [clip.utterance.id for clip in found.rejected] == ["s0-r2"]
    (rejected,) = found.rejected
    assert rejected.rejected[0].kind == "misheard" and "weather" in (rejected.hypothesis or "")
    kept = found.kept()
    assert len(kept) == 5 and all(0 <= u.extra["check"]["cer"] < 0.5 for u in kept)
    assert [u.id for u in inspect(kept, recogniser=tiny_en, language="en").kept()] == [u.id for u in kept]


def test_words_the_recogniser_does_not_know_are_kept(corpus, tiny_en, cache):
    """The same clips under a text that none of them says are all misheard alike."""
    other = Corpus.of(
        replace(u, text="my grandmother keeps eleven quiet horses behind the old mill") for u in corpus if "s0" in u.id
    )
    found = inspect(other, recogniser=tiny_en, language="en")
    assert not found.rejected
    assert [[flag.kind for flag in clip.flagged] for clip in found.flagged] == [["misheard alike"]] * 3
    assert all(u.extra["check"]["flags"] == ["misheard alike"] for u in found.kept())


def test_a_check_by_samples_alone_adds_nothing_to_a_good_line(corpus):
    found = inspect(corpus)
    assert not found.rejected and not found.flagged and found.scores is None
    assert found.kept() == corpus


def test_what_cannot_be_read_is_rejected_and_the_rest_is_checked(corpus, tmp_path):
    damaged, silent, long = (tmp_path / f"{name}.flac" for name in ("damaged", "silent", "long"))
    damaged.write_bytes(b"fLaC")
    audio.write_flac(silent, np.zeros(8000, np.float32))
    audio.write_flac(long, np.tile(audio.read(corpus[0].audio_filepath), 20))
    broken = [replace(corpus[0], id=path.stem, audio_filepath=path) for path in (damaged, silent)]
    broken.append(replace(corpus[0], id="long", audio_filepath=long, duration=audio.info(long).duration))
    broken.append(replace(corpus[0], id="longer than it says", audio_filepath=long))
    found = inspect(Corpus.of([*corpus, *broken]))
    assert [(clip.utterance.id, clip.rejected[0].kind) for clip in found.rejected] == [
        ("damaged", "unreadable"),
        ("silent", "unreadable"),
        ("long", "unreadable"),
        ("longer than it says", "unreadable"),
    ]
    with pytest.raises(UserError, match="all 4 clips are rejected"):
        inspect(Corpus.of(broken)).kept()


def test_real_speech_has_limits_of_its_own(recordings):
    loaded = Corpus.load(recordings)
    assert not inspect(loaded).rejected
    strict = inspect(loaded, Limits.of({"slow": 0.01, "allowance": 0.01}))
    assert len(strict.rejected) == len(loaded)


def test_one_language_at_a_time(corpus, tiny_en, cache):
    mixed = Corpus.of(replace(u, language="es" if u.id.endswith("0") else "en") for u in corpus)
    with pytest.raises(UserError, match="en, es; check one language at a time"):
        inspect(mixed, recogniser=tiny_en)


def test_what_was_heard_is_kept_in_the_cache(corpus, tiny_en, cache):
    first = hear(corpus, tiny_en, "en")
    (kept,) = (cache / "hypotheses").iterdir()
    before = kept.read_bytes()
    assert hear(corpus, tiny_en, "en") == first
    assert kept.read_bytes() == before


def test_the_summary_adds_up(corpus, tiny_en, cache):
    found = inspect(corpus, recogniser=tiny_en, language="en")
    record = summarise(found, DEFAULTS, "voice", "tiny")
    whole, rows = record["all"], record["groups"]
    assert whole["clips"] == sum(row["clips"] for row in rows) == 6
    assert whole["rejected"] == sum(row["rejected"] for row in rows) == 1 == len(record["rejected"])
    assert record["reasons"]["rejected"] == {"misheard": 1}
    assert whole["ci_low"] <= whole["cer"] <= whole["ci_high"]
    assert found.scores is not None and whole["cer"] == found.scores.rate
    assert [row["engine"] for row in summarise(found, DEFAULTS, "engine")["groups"]] == ["espeak"]
    assert summarise(inspect(corpus), DEFAULTS)["all"]["cer"] is None


def test_a_transcript_in_figures_is_checked_by_the_words_spoken(corpus, tiny_en, cache):
    first = corpus[0]
    figures = replace(first, text="7", extra=first.extra | {"spoken": first.text})
    plain, noted = (inspect(Corpus.of([u]), recogniser=tiny_en, language="en").clips[0] for u in (first, figures))
    assert (noted.counts, noted.pace, noted.rejected) == (plain.counts, plain.pace, ())
    assert inspect(Corpus.of([replace(first, text="7")]), recogniser=tiny_en, language="en").rejected
