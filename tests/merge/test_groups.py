"""Groups and depths, on names that real models have."""

import doctest

import pytest

from syn2real.merge import groups
from syn2real.merge.groups import groups_of, layer_of, positions


def test_docstrings() -> None:
    assert doctest.testmod(groups).failed == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Whisper
        ("model.encoder.conv1.weight", {"encoder", "conv"}),
        ("model.encoder.embed_positions.weight", {"encoder", "embeddings"}),
        ("model.encoder.layers.3.self_attn.k_proj.weight", {"encoder", "attention"}),
        ("model.decoder.layers.3.encoder_attn.q_proj.bias", {"decoder", "attention", "cross_attention", "bias"}),
        ("model.decoder.layers.3.encoder_attn_layer_norm.weight", {"decoder", "attention", "cross_attention", "norm"}),
        ("model.decoder.layers.0.fc1.weight", {"decoder", "mlp"}),
        ("model.decoder.embed_tokens.weight", {"decoder", "embeddings"}),
        ("model.decoder.layer_norm.bias", {"decoder", "norm", "bias"}),
        ("proj_out.weight", {"head"}),
        # Llama
        ("model.embed_tokens.weight", {"embeddings"}),
        ("model.layers.0.self_attn.o_proj.weight", {"attention"}),
        ("model.layers.0.mlp.down_proj.weight", {"mlp"}),
        ("model.layers.0.input_layernorm.weight", {"norm"}),
        ("model.norm.weight", {"norm"}),
        ("lm_head.weight", {"head"}),
        # T5 v1.0
        ("shared.weight", {"embeddings"}),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", {"encoder", "attention"}),
        ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {"encoder", "attention"}),
        ("decoder.block.2.layer.1.EncDecAttention.o.weight", {"decoder", "attention", "cross_attention"}),
        ("decoder.block.2.layer.2.DenseReluDense.wi.weight", {"decoder", "mlp"}),
        ("encoder.final_layer_norm.weight", {"encoder", "norm"}),
        # Mixtral and its successors
        ("model.layers.1.block_sparse_moe.gate.weight", {"router"}),
        ("model.layers.1.block_sparse_moe.experts.3.w2.weight", {"mlp", "experts"}),
        ("model.layers.1.mlp.experts.3.gate_proj.weight", {"mlp", "experts"}),
        ("model.layers.1.mlp.gate.weight", {"mlp", "router"}),
        # GPT-2
        ("transformer.wte.weight", {"embeddings"}),
        ("transformer.h.0.attn.c_attn.weight", {"attention"}),
        ("transformer.h.0.mlp.c_fc.bias", {"mlp", "bias"}),
        ("transformer.h.0.ln_1.weight", {"norm"}),
        # Conformer
        ("wav2vec2.feature_extractor.conv_layers.0.conv.weight", {"conv"}),
        ("something.weight", {"other"}),
    ],
)
def test_groups(name: str, expected: set[str]) -> None:
    assert set(groups_of(name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.1.block_sparse_moe.experts.3.w2.weight", ("model.layers.", 1)),
        ("encoder.block.10.layer.0.SelfAttention.q.weight", ("encoder.block.", 10)),
        ("transformer.h.7.ln_1.weight", ("transformer.h.", 7)),
        ("model.encoder.conv1.weight", None),
        ("model.scale", None),
        ("0.weight", ("", 0)),
    ],
)
def test_layers(name: str, expected: tuple[str, int] | None) -> None:
    assert layer_of(name) == expected


def test_depth_runs_from_first_to_last_layer_in_each_stack() -> None:
    names = ["model.encoder.conv1.weight", "model.encoder.embed_positions.weight"]
    names += [f"model.encoder.layers.{i}.fc1.weight" for i in range(3)]
    names += ["model.decoder.embed_tokens.weight", *(f"model.decoder.layers.{i}.fc1.weight" for i in range(5))]
    names += ["model.decoder.layer_norm.weight", "proj_out.weight"]
    found = positions(names)
    assert [found[n] for n in names] == [0, 0, 0, 0.5, 1, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_experts_lie_where_their_layer_does() -> None:
    names = [f"model.layers.{i}.mlp.experts.{j}.w1.weight" for i in range(2) for j in range(4)]
    assert [positions(names)[name] for name in names] == [0] * 4 + [1] * 4
