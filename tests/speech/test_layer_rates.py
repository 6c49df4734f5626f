"""Rates by layer: equal steps down every stack, every trained weight once."""

import pytest

pytest.importorskip("transformers")

from safetensors.torch import load_file

from syn2real.lora import LoraSettings, add_adapters
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.layer_rates import depths, rate_groups
from syn2real.speech.lora import adapted_layers
from syn2real.speech.recogniser import load_recogniser
from syn2real.speech.training import TrainingSettings


def depths_of(model) -> dict[str, int]:
    return depths(name for name, _ in model.named_parameters())


def test_encoder_and_decoder_each_from_its_own_top(small_whisper):
    found = depths_of(load_recogniser(small_whisper).model.model)
    for stack in ("encoder", "decoder"):
        assert found[f"{stack}.layers.1.fc1.weight"] == 1
        assert found[f"{stack}.layers.0.fc1.weight"] == 2
        assert found[f"{stack}.embed_positions.weight"] == 3
        assert found[f"{stack}.layer_norm.weight"] == 0
    assert found["encoder.conv1.weight"] == found["decoder.embed_tokens.weight"] == 3


def test_one_stack_with_a_head(small_ctc):
    found = depths_of(load_recogniser(small_ctc()).model)
    assert found["wav2vec2.feature_extractor.conv_layers.0.conv.weight"] == 3
    assert found["wav2vec2.feature_projection.projection.weight"] == 3
    assert found["wav2vec2.encoder.layers.0.attention.q_proj.weight"] == 2
    assert found["wav2vec2.encoder.layers.1.attention.q_proj.weight"] == 1
    assert found["lm_head.weight"] == 0


def test_adapters_lie_where_their_layers_do(small_whisper):
    model = load_recogniser(small_whisper).model
    model = add_adapters(model, LoraSettings(rank=2), adapted_layers(model, None), seed=0)
    found = {name: depth for name, depth in depths_of(model).items() if "lora_" in name}
    assert set(found.values()) == {1, 2}
    assert all((depth == 1) == (".layers.1." in name) for name, depth in found.items())


def test_groups_hold_every_trained_weight_once_the_fastest_first(small_whisper):
    model = load_recogniser(small_whisper).model
    model.model.encoder.conv1.weight.requires_grad_(False)
    groups = rate_groups(model, 1e-3, 0.5, 0.1, {"model.encoder.layers.0.fc1.weight"})
    held = [id(weight) for group in groups for weight in group["params"]]
    trained = [id(weight) for weight in model.parameters() if weight.requires_grad]
    assert sorted(held) == sorted(trained)
    rates = [group["lr"] for group in groups]
    assert rates == sorted(rates, reverse=True) and set(rates) == {1e-3, 5e-4, 2.5e-4, 1.25e-4}
    (decayed,) = (group for group in groups if group["weight_decay"])
    assert decayed["lr"] == 2.5e-4 and len(decayed["params"]) == 1


def test_low_layers_move_less(small_whisper, recordings, tmp_path):
    settings = TrainingSettings(
        epochs=1, batch_size=4, learning_rate=1e-3, full_windows=0, weight_decay=0, precision="fp32", layer_decay=0.1
    )
    finetune(small_whisper, Corpus.load(recordings).sample(8), tmp_path, settings)
    before, after = load_file(small_whisper / "model.safetensors"), load_file(tmp_path / "model.safetensors")

    def moved(name: str) -> float:
        return (before[name] - after[name]).abs().median().item()

    for stack in ("encoder", "decoder"):
        low, high = (moved(f"model.{stack}.layers.{layer}.fc1.weight") for layer in (0, 1))
        assert low == pytest.approx(high / 10, rel=0.2)  # Adam's steps are as long as their rate
