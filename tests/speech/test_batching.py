"""Batches: clips with an augmentation that a resumed training hears again, and what a loss is a mean over."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("transformers")

from syn2real.errors import AudioError
from syn2real.hashing import seed_from, sha256_file
from syn2real.speech import audio
from syn2real.speech.augmentation import Augmentation, augmented, read_utterance
from syn2real.speech.batch_order import Draw
from syn2real.speech.batching import ITEMS, ClipDataset, Collator
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.recogniser import load_recogniser
from syn2real.speech.training import TrainingSettings


@dataclass(frozen=True)
class Noise:
    """White noise, drawn from the utterance and the epoch."""

    level: float

    def __call__(self, samples: np.ndarray, key: str, epoch: int) -> np.ndarray:
        noise = np.random.default_rng(seed_from(key, epoch)).standard_normal(samples.size)
        return (samples + self.level * noise).astype(np.float32)


class TestAugmentation:
    @pytest.fixture(scope="class")
    def recogniser(self, tiny_en):
        return load_recogniser(tiny_en)

    def test_it_is_given_the_clip_its_id_and_the_epoch(self, recogniser, recordings):
        corpus = Corpus.load(recordings).sample(3)
        noisy, plain = ClipDataset(corpus, recogniser, Noise(0.1)), ClipDataset(corpus, recogniser)
        expected = Noise(0.1)(audio.read(corpus[1].audio_filepath), corpus[1].id, 5)
        assert np.array_equal(noisy[Draw(1, False, 5)].samples, expected)
        assert not np.array_equal(noisy[Draw(1, False, 6)].samples, expected)
        assert np.array_equal(plain[Draw(1, False, 5)].samples, audio.read(corpus[1].audio_filepath))

    @pytest.mark.parametrize("result", [lambda samples: samples * np.nan, lambda samples: samples[:0]])
    def test_what_is_no_clip_is_refused(self, recogniser, recordings, result):
        corpus = Corpus.load(recordings).sample(1)
        with pytest.raises(AudioError, match="no audio"):
            ClipDataset(corpus, recogniser, lambda samples, key, epoch: result(samples))[0]

    def test_what_the_manifest_asks_for_is_heard_first(self, recogniser, recordings):
        corpus = Corpus.load(recordings).sample(1)
        asked = augmented(corpus, Augmentation.from_spec([{"transform": "noise", "snr": 5}], seed=1))
        clip = ClipDataset(asked, recogniser, lambda samples, key, epoch: 2 * samples)[0]
        assert np.array_equal(clip.samples, 2 * read_utterance(asked[0]))
        assert not np.array_equal(clip.samples, 2 * audio.read(corpus[0].audio_filepath))

    def test_a_clip_that_grows_over_30_s_is_left_as_recorded(self, recogniser, recordings):
        corpus = Corpus.load(recordings).sample(1)
        long = ClipDataset(corpus, recogniser, lambda samples, key, epoch: np.tile(samples, 30))
        assert np.array_equal(long[0].samples, audio.read(corpus[0].audio_filepath))

    def test_an_interrupted_training_ends_in_the_same_bytes(self, small_whisper, recordings, tmp_path, interrupted):
        corpus = Corpus.load(recordings).sample(6)
        # Three batches an epoch: the interruption falls into the second.
        settings = TrainingSettings(epochs=2, batch_size=2, checkpoint_steps=2, full_windows=0)
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        finetune(small_whisper, corpus, whole, settings, augmentation=Noise(0.01))
        interrupted(8, small_whisper, corpus, cut, settings, augmentation=Noise(0.01))
        assert (cut / "trainer" / "checkpoint-2" / "complete").is_file()
        finetune(small_whisper, corpus, cut, settings, augmentation=Noise(0.01))
        for name in ("model.safetensors", "training.json"):
            assert sha256_file(cut / name) == sha256_file(whole / name)
        assert json.loads((cut / "training.json").read_text())["augmentation"] == "Noise(level=0.01)"

    def test_a_training_killed_while_its_checkpoints_are_removed_ends_in_the_same_bytes(
        self, small_whisper, recordings, tmp_path, half_removed
    ):
        corpus = Corpus.load(recordings).sample(4)
        settings = TrainingSettings(epochs=1, batch_size=2, checkpoint_steps=1, full_windows=0)
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        finetune(small_whisper, corpus, whole, settings)
        half_removed("trainer", finetune, small_whisper, corpus, cut, settings)
        finetune(small_whisper, corpus, cut, settings)
        assert sorted(path.name for path in cut.iterdir()) == sorted(path.name for path in whole.iterdir())
        for name in ("model.safetensors", "training.json"):
            assert sha256_file(cut / name) == sha256_file(whole / name)


def test_a_mean_is_over_tokens_or_clips_and_an_idle_clip_is_none(tiny_en, small_ctc, recordings):
    corpus = Corpus.load(recordings).sample(3)
    draws = [Draw(0, full=False), Draw(1, full=True)]
    idle = [Draw(2, full=False, idle=True)]
    for model, tokens in ((tiny_en, True), (small_ctc(), False)):
        recogniser = load_recogniser(model)
        dataset, collate = ClipDataset(corpus, recogniser), Collator(recogniser)
        expected = sum(map(len, recogniser.labels(corpus)[:2])) if tokens else 2
        assert collate([dataset[draw] for draw in draws])[ITEMS] == expected
        assert collate([dataset[draw] for draw in idle])[ITEMS] == 0
