"""Adapters: trained alone, merged into plain weights, kept beside them, and the same after an interruption."""

import json

import pytest
import torch

pytest.importorskip("peft")

from safetensors.torch import load_file

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.lora import LoraSettings, add_adapters
from syn2real.merge import Checkpoint
from syn2real.speech.batch_order import BatchOrder
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.lora import adapted_layers
from syn2real.speech.recogniser import load_recogniser
from syn2real.speech.training import TrainingSettings
from syn2real.speech.transcription import transcribe

LORA = LoraSettings(rank=4, dropout=0.1)
FEW = TrainingSettings(
    epochs=4, batch_size=2, learning_rate=1e-2, full_windows=0.1, precision="fp32", checkpoint_steps=2, lora=LORA
)
WRITTEN = ("model.safetensors", "training.json", "config.json", "adapter/adapter_model.safetensors")


@pytest.fixture(scope="module")
def corpus(recordings):
    return Corpus.load(recordings).sample(6)


@pytest.fixture(scope="module")
def tuned(small_whisper, corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("lora")
    finetune(small_whisper, corpus, output, FEW)
    return output


def test_only_linear_layers_of_attention_and_mlp_change(tuned, small_whisper):
    before, after = load_file(small_whisper / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name])}
    layers = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    assert changed == {name for name in before if name.endswith(tuple(f"{layer}.weight" for layer in layers))}


def test_the_adapters_on_their_base_are_the_merged_model(tuned, small_whisper):
    from peft import PeftModel

    merged = load_file(tuned / "model.safetensors")
    read = Checkpoint.open(small_whisper, tuned / "adapter")
    for name, weight in merged.items():
        torch.testing.assert_close(read.read(name).float(), weight, rtol=1e-6, atol=1e-6)
    plain = PeftModel.from_pretrained(load_recogniser(small_whisper).model, tuned / "adapter").merge_and_unload()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(weight, merged[name])


def test_the_adapters_can_be_shared(tuned):
    assert sorted(path.name for path in (tuned / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((tuned / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None  # no place on this machine
    record = json.loads((tuned / "training.json").read_text())
    assert record["settings"]["lora"]["rank"] == config["r"] == 4
    assert list(record["base"]) == ["model.safetensors"]
    losses = [row["loss"] for row in record["log"]]
    assert losses[-1] < losses[0]


def test_the_model_is_an_ordinary_one(tuned, corpus):
    from transformers import WhisperForConditionalGeneration

    _, report = WhisperForConditionalGeneration.from_pretrained(tuned, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert set(transcribe(tuned, corpus)) == {u.id for u in corpus}


def test_an_interrupted_training_ends_in_the_same_bytes(tuned, small_whisper, corpus, tmp_path, interrupted):
    interrupted(10, small_whisper, corpus, tmp_path, FEW)
    finetune(small_whisper, corpus, tmp_path, FEW)
    for name in (*WRITTEN, "adapter/adapter_config.json"):
        assert sha256_file(tmp_path / name) == sha256_file(tuned / name), name


def test_the_best_adapters_are_kept_also_when_killed_at_the_end(small_whisper, corpus, tmp_path, monkeypatch):
    settings = TrainingSettings(**FEW.record() | {"learning_rate": 0.3, "patience": 1, "epochs": 20, "lora": LORA})
    dev = corpus.sample(2, 1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finetune(small_whisper, corpus, whole, settings, dev=dev)
    assert json.loads((whole / "training.json").read_text())["steps"] < 60

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("syn2real.speech.finetuning.save_adapters", kill)
        finetune(small_whisper, corpus, cut, settings, dev=dev)
    monkeypatch.setattr(BatchOrder, "__iter__", lambda self: pytest.fail("it was trained further"))
    finetune(small_whisper, corpus, cut, settings, dev=dev)
    for name in WRITTEN:
        assert sha256_file(cut / name) == sha256_file(whole / name), name


def test_ctc_with_rank_stabilisation(small_ctc, corpus, tmp_path):
    base = small_ctc("wav2vec2-conformer")
    settings = TrainingSettings(**FEW.record() | {"epochs": 1, "lora": LoraSettings(rank=4, stabilised=True)})
    finetune(base, corpus, tmp_path, settings)
    read = Checkpoint.open(base, tmp_path / "adapter")
    merged = load_file(tmp_path / "model.safetensors")
    before = load_file(base / "model.safetensors")
    assert any(not torch.equal(before[name], weight) for name, weight in merged.items())
    for name, weight in merged.items():  # statistics of batch norms, which no adapter holds, among them
        torch.testing.assert_close(read.read(name).to(weight.dtype), weight, rtol=1e-6, atol=1e-6)


def test_a_step_in_which_every_adapted_layer_is_dropped(small_ctc, corpus, tmp_path):
    settings = TrainingSettings(**FEW.record() | {"epochs": 1, "lora": LORA})
    base = small_ctc("wav2vec2", layerdrop=1.0)
    finetune(base, corpus, tmp_path, settings)
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


class TestTargets:
    def test_none_are_left(self, small_whisper):
        with pytest.raises(UserError, match="no linear layer of attention or MLP is left"):
            self.adapted(small_whisper, freeze=("_proj", "fc"))

    def adapted(self, directory, freeze=(), **settings) -> set[str]:
        model = load_recogniser(directory).model
        for name, weight in model.named_parameters():
            weight.requires_grad_(not any(part in name for part in freeze))
        lora = LoraSettings(**settings)
        network = add_adapters(model, lora, adapted_layers(model, lora.targets), seed=0)
        trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
        return {name.removeprefix("base_model.model.").split(".lora_")[0] for name in trained}

    def test_by_their_endings(self, small_whisper):
        found = self.adapted(small_whisper, targets=("self_attn.q_proj", "fc2"))
        layers = [f"model.{side}.layers.{n}" for side in ("encoder", "decoder") for n in (0, 1)]
        assert found == {f"{layer}.{end}" for layer in layers for end in ("self_attn.q_proj", "fc2")}

    def test_frozen_layers_get_none(self, small_whisper):
        assert all(".decoder." in name for name in self.adapted(small_whisper, freeze=(".encoder.",)))

    def test_every_kind_of_ctc(self, small_ctc):
        conformer = self.adapted(small_ctc("wav2vec2-conformer"))
        assert {name.rsplit(".", 1)[-1] for name in conformer} >= {"linear_q", "linear_out", "intermediate_dense"}
        # WavLM's attention reads its layers' weights past any adapter.
        assert all("feed_forward" in name for name in self.adapted(small_ctc("wavlm")))

    def test_a_misspelt_layer(self, small_whisper):
        with pytest.raises(UserError, match=r"called 'q_prj' \(did you mean 'q_proj'\?\)"):
            self.adapted(small_whisper, targets=("q_prj",))
