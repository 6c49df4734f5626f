"""CTC models behind the same face as Whisper. Their weights are random and small: that they learn shows the code right,
and what they have learnt by heart shows that it is kept."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.merge import Checkpoint, write
from syn2real.speech import audio
from syn2real.speech.corpus import Corpus
from syn2real.speech.ctc import CtcRecogniser
from syn2real.speech.finetuning import finetune
from syn2real.speech.pretrained import CTC
from syn2real.speech.recogniser import Clip, load_recogniser
from syn2real.speech.training import TrainingSettings
from syn2real.speech.transcription import TranscriptionSettings, transcribe

SHAPES = {
    "wav2vec2": {"do_stable_layer_norm": True, "initializer_range": 0.1},
    "wav2vec2-conformer": {"position_embeddings_type": "rotary"},
}
BY_HEART = TrainingSettings(
    epochs=160, learning_rate=4e-3, batch_size=2, weight_decay=0, checkpoint_steps=1000, precision="fp32"
)


@pytest.fixture(scope="module")
def pair(recordings) -> Corpus:
    """Two recordings to be learnt by heart: those with the fewest words to learn."""
    return Corpus.of(sorted(Corpus.load(recordings), key=lambda u: len(u.text))[:2])


@pytest.fixture(scope="module")
def learnt(small_ctc, pair, tmp_path_factory) -> Callable[[str], Path]:
    """A model of a type, fine-tuned on the pair."""
    made: dict[str, Path] = {}

    def tune(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("learnt")
            finetune(small_ctc(kind, **SHAPES[kind]), pair, made[kind], BY_HEART)
        return made[kind]

    return tune


def upper(corpus: Corpus) -> dict[str, str]:
    return {u.id: u.text.upper() for u in corpus}


@pytest.mark.parametrize("kind", SHAPES)
class TestLearning:
    def test_it_learns_two_utterances_by_heart(self, learnt, pair, kind):
        losses = [row["loss"] for row in json.loads((learnt(kind) / "training.json").read_text())["log"]]
        assert losses[-1] < 0.2 < 5 < losses[0]
        assert transcribe(learnt(kind), pair) == upper(pair)

    def test_plain_transformers_hears_the_same(self, learnt, pair, kind):
        from transformers import pipeline

        plain = pipeline("automatic-speech-recognition", str(learnt(kind)))
        alone = TranscriptionSettings(batch_size=1)  # as plain transformers hears them
        heard = {u.id: plain(audio.read(u.audio_filepath))["text"] for u in pair}
        assert heard == transcribe(learnt(kind), pair, alone)

    def test_the_feature_encoder_and_the_configuration_stay(self, learnt, small_ctc, kind):
        base = small_ctc(kind, **SHAPES[kind])
        before, after = load_file(base / "model.safetensors"), load_file(learnt(kind) / "model.safetensors")
        assert before.keys() == after.keys()
        kept = {name for name in before if torch.equal(before[name], after[name])}
        features = {name for name in before if ".feature_extractor." in name}
        assert features and features <= kept
        assert not any("layers.1" in name and name.endswith("_dense.weight") for name in kept)
        assert json.loads((base / "config.json").read_text()) == json.loads((learnt(kind) / "config.json").read_text())

    def test_a_task_vector_carries_what_was_learnt(self, learnt, small_ctc, pair, kind, tmp_path):
        base = small_ctc(kind, **SHAPES[kind])
        vector = Checkpoint.open(learnt(kind)) - Checkpoint.open(base)
        merged = Checkpoint.open(base) + 1.0 * vector
        recogniser = load_recogniser(base)
        assert transcribe(recogniser, pair) != upper(pair)
        recogniser.replace_weights(merged.tensor)
        assert transcribe(recogniser, pair) == upper(pair)
        write(merged, tmp_path / "merged")
        assert transcribe(tmp_path / "merged", pair) == upper(pair)


def test_weights_are_replaced_under_the_names_of_the_file(learnt, pair, tmp_path):
    """Files of older versions name weight normalisation otherwise; buffers of batch norms are stored too."""
    old = tmp_path / "old"
    shutil.copytree(learnt("wav2vec2"), old)
    renamed = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in load_file(old / "model.safetensors").items()
    }
    save_file(renamed, old / "model.safetensors", metadata={"format": "pt"})
    for directory in (old, learnt("wav2vec2-conformer")):
        asked = []
        checkpoint = Checkpoint.open(directory)
        load_recogniser(directory).replace_weights(lambda name, c=checkpoint, a=asked: a.append(name) or c.read(name))
        assert sorted(asked) == sorted(checkpoint)
    assert any(name.endswith("weight_g") for name in Checkpoint.open(old))
    assert any(name.endswith("running_mean") for name in asked)
    assert transcribe(old, pair) == upper(pair)


@pytest.mark.parametrize("kind", CTC)
def test_every_type_is_trained_saved_and_read(small_ctc, pair, kind, tmp_path):
    """With convolutions normalised over time, so without attention mask, and dropout, dropped layers and masks on."""
    base = small_ctc(kind, feat_extract_norm="group", layerdrop=0.1, hidden_dropout=0.1)
    finetune(base, pair, tmp_path, TrainingSettings(epochs=2, batch_size=2, spec_augment=True))
    assert isinstance(load_recogniser(tmp_path), CtcRecogniser)
    assert set(transcribe(tmp_path, pair)) == {u.id for u in pair}
    assert json.loads((tmp_path / "config.json").read_text())["apply_spec_augment"] is False


def test_an_interrupted_training_ends_in_the_same_bytes(small_ctc, recordings, tmp_path, interrupted):
    base = small_ctc("wav2vec2-conformer", layerdrop=0.2, hidden_dropout=0.1)
    corpus = Corpus.load(recordings).sample(6)
    settings = TrainingSettings(epochs=2, batch_size=2, checkpoint_steps=2, spec_augment=True)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finetune(base, corpus, whole, settings)
    interrupted(8, base, corpus, cut, settings)
    finetune(base, corpus, cut, settings)
    for name in ("model.safetensors", "training.json", "config.json"):
        assert sha256_file(cut / name) == sha256_file(whole / name)


class TestBatches:
    def test_a_mask_where_the_model_was_trained_with_one(self, small_ctc, recordings):
        clips = [Clip(audio.read(u.audio_filepath), [5], False) for u in Corpus.load(recordings).sample(3)]
        masked = load_recogniser(small_ctc("wav2vec2")).collate(clips)
        plain = load_recogniser(small_ctc("wav2vec2", feat_extract_norm="group")).collate(clips)
        assert masked["attention_mask"].sum(dim=1).tolist() == [len(clip.samples) for clip in clips]
        assert set(plain) == {"input_values", "labels"}
        for row, clip in zip(plain["input_values"], clips, strict=True):  # levelled by itself, not by its padding
            heard = row[: len(clip.samples)]
            assert abs(float(heard.mean())) < 1e-4 and abs(float(heard.var()) - 1) < 1e-3
            assert not row[len(clip.samples) :].any()

    def test_a_clip_is_heard_alike_alone_and_among_longer_ones(self, learnt, recordings):
        recogniser = load_recogniser(learnt("wav2vec2"))
        recogniser.model.eval()
        clips = [audio.read(u.audio_filepath) for u in Corpus.load(recordings)][:6]
        together = recogniser.hear([*clips, np.tile(clips[0], 4)], short=True, beams=1)
        assert together[:6] == [recogniser.hear([clip], short=True, beams=1)[0] for clip in clips]

    def test_a_snippet_is_trained_on_and_heard(self, small_ctc):
        recogniser = load_recogniser(small_ctc("wav2vec2"))
        snippet = np.sin(np.arange(300)).astype(np.float32)  # shorter than one frame
        with recogniser.trained(spec_augment=True):
            recogniser.model.train()
            assert recogniser.loss(recogniser.model, recogniser.collate([Clip(snippet, [5], False)])).isfinite()
        recogniser.model.eval()
        assert recogniser.hear([snippet], short=True, beams=1) == [""]

    def test_beams_are_refused(self, small_ctc, pair):
        with pytest.raises(UserError, match="read greedily"):
            transcribe(small_ctc("wav2vec2"), pair, TranscriptionSettings(beams=4))


class TestLabels:
    def test_all_characters_that_cannot_be_written_are_told(self, small_ctc, pair):
        first, second = pair
        corpus = Corpus.of([replace(first, text="Café No 7"), replace(second, text="7 €")])
        with pytest.raises(UserError, match=r"cannot write '7' \(2 times, first in .*'é' \(1 .*'€'.*spell numbers"):
            load_recogniser(small_ctc("wav2vec2")).labels(corpus)

    def test_a_clip_too_short_for_its_transcript(self, small_ctc, pair):
        recogniser = load_recogniser(small_ctc("wav2vec2"))
        frames = recogniser.model._get_feat_extract_output_lengths(16_000)
        fits = replace(pair[0], duration=1.0, text="ab" * (int(frames) // 2))
        recogniser.labels(Corpus.of([fits]))
        # As many characters, but equal ones need a blank between them.
        with pytest.raises(UserError, match=r"1\.00 s are too short for 'a+'.*frames.*drop the utterance"):
            recogniser.labels(Corpus.of([replace(fits, text="a" * len(fits.text))]))

    def test_a_transcript_without_letters(self, small_ctc, pair):
        with pytest.raises(UserError, match=r"'\.\.\.' holds no letters"):
            load_recogniser(small_ctc("wav2vec2")).labels(Corpus.of([replace(pair[0], text="...")]))


class TestLoading:
    @pytest.fixture
    def model(self, small_ctc, tmp_path) -> Path:
        return Path(shutil.copytree(small_ctc("wav2vec2"), tmp_path / "model"))

    def test_a_model_without_its_head(self, model):
        weights = {name: t for name, t in load_file(model / "model.safetensors").items() if "lm_head" not in name}
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=r"2 weights are missing, lm_head\.bias first"):
            load_recogniser(model)

    def test_a_vocabulary_of_another_model(self, model):
        vocabulary = json.loads((model / "vocab.json").read_text())
        (model / "vocab.json").write_text(json.dumps(vocabulary | {"É": 99}))
        with pytest.raises(UserError, match="not of this model's 30 outputs"):
            load_recogniser(model)

    def test_no_vocabulary(self, model):
        (model / "vocab.json").unlink()
        with pytest.raises(UserError, match=r"no vocab\.json"):
            load_recogniser(model)
