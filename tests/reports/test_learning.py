"""The learning curve: drawn from a true training's record, with and without dev clips, the same bytes every time."""

import json

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("transformers")

from syn2real.reports.learning import draw_learning
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.training import TrainingSettings


def test_it_shows_what_was_logged(small_whisper, recordings, tmp_path):
    corpus = Corpus.load(recordings)
    settings = TrainingSettings(epochs=2, batch_size=4, checkpoint_steps=2, full_windows=0, precision="fp32")
    finetune(small_whisper, corpus.sample(8), tmp_path, settings, dev=corpus.sample(2, 1))
    record = json.loads((tmp_path / "training.json").read_text())
    picture = draw_learning(record, "tuned")
    assert picture.startswith(b"\x89PNG") and picture == draw_learning(record, "tuned")
    alone = record | {"log": [row for row in record["log"] if "loss" in row]}
    assert len({picture, draw_learning(alone, "tuned"), draw_learning(record | {"log": []}, "tuned")}) == 3
