"""Layers stacked anew, for transformers to load."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.errors import UserError
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.output import write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import parse_recipe
from tests.merge.llamas import llama, load, save


def source(model: Path, first: int, last: int, **parameters: Any) -> dict[str, Any]:
    return {"model": str(model), "layer_range": [first, last], **parameters}


def merged(output: Path, *parts: list[dict[str, Any]], **recipe: Any) -> Path:
    slices = [{"sources": part} if isinstance(part, list) else part for part in parts]
    return write(plan_recipe(parse_recipe(slices=slices, **recipe)), output, threads=1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("llamas")
    return save(folder / "a", llama(), 1), save(folder / "b", llama(), 2)


def test_stacked_layers_load_and_run(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    out = merged(tmp_path / "out", [source(a, 0, 3)], [source(b, 1, 4)], method="passthrough")
    model = load(out)
    assert model.config.num_hidden_layers == len(model.model.layers) == 6
    assert model(torch.tensor([[1, 5, 7]])).logits.isfinite().all()
    first, second = load(a), load(b)
    for place, (whose, layer) in enumerate([(first, 0), (first, 1), (first, 2), (second, 1), (second, 2), (second, 3)]):
        for name, value in whose.model.layers[layer].state_dict().items():
            assert torch.equal(model.model.layers[place].state_dict()[name], value)
    # What stands before the layers is the first slice's, the rest the last's.
    assert torch.equal(model.model.embed_tokens.weight, first.model.embed_tokens.weight)
    assert torch.equal(model.model.norm.weight, second.model.norm.weight)
    assert torch.equal(model.lm_head.weight, second.lm_head.weight)


def test_one_model_in_two_slices_is_itself(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a = pair[0]
    out = merged(tmp_path / "out", [source(a, 0, 1)], [source(a, 1, 4)], method="passthrough")
    assert (out / "model.safetensors").read_bytes() == (a / "model.safetensors").read_bytes()
    assert (out / "config.json").read_bytes() == (a / "config.json").read_bytes()


def test_gradients_run_within_a_slice_and_parameters_nest(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    out = merged(
        tmp_path / "out",
        [source(a, 0, 3, weight=1), source(b, 0, 3, weight={"mlp": [0, 1]})],
        {"sources": [source(a, 3, 4), source(b, 3, 4)], "parameters": {"weight": 2}},
        method="linear",
        parameters={"weight": {"self_attn": 5, "*": 3}, "normalize": False},
    )
    a, b, result = (Checkpoint.open(path) for path in (a, b, out))

    def share(name: str) -> list[float]:
        pair = torch.stack([model.read(name).double().reshape(-1) for model in (a, b)], 1)
        found = torch.linalg.lstsq(pair, result.read(name).double().reshape(-1, 1)).solution
        return [round(float(x), 3) for x in found]

    assert [share(f"model.layers.{i}.mlp.up_proj.weight") for i in range(4)] == [[1, 0], [1, 0.5], [1, 1], [2, 2]]
    # Where a model's own filters say nothing, the slice's or the recipe's hold.
    assert share("model.layers.1.self_attn.q_proj.weight") == [1, 5]
    assert share("model.layers.3.self_attn.q_proj.weight") == [2, 2]
    assert share("model.embed_tokens.weight") == [1, 3]
    assert share("lm_head.weight") == [2, 2]


def test_slerp_over_slices_keeps_the_base_first(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    parts = [source(a, 0, 4), source(b, 0, 4)]
    for t, same in ((0, b), (1, a)):
        out = merged(tmp_path / f"{t}", parts, method="slerp", base=str(b), parameters={"t": t})
        expected, found = Checkpoint.open(same), Checkpoint.open(out)
        for name in expected:
            assert torch.allclose(found.read(name), expected.read(name), atol=1e-6)


def test_differences_are_to_the_bases_own_layers(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    out = merged(
        tmp_path / "out",
        [source(a, 0, 2), source(b, 2, 4)],
        method="task_arithmetic",
        base=str(b),
        parameters={"weight": 0.5},
    )
    a, b, found = (Checkpoint.open(path) for path in (a, b, out))
    name = "mlp.up_proj.weight"
    start = b.read(f"model.layers.2.{name}")
    expected = start + 0.5 * (a.read(f"model.layers.0.{name}") - start)
    assert torch.allclose(found.read(f"model.layers.0.{name}"), expected)
    assert len([n for n in found if n.endswith(name)]) == 2


@pytest.mark.parametrize(
    ("first", "last", "words"), [(2, 5, r"a: no layer 4 under model.layers. \(it has 4\)"), (7, 8, "no layer 7")]
)
def test_layers_that_are_not_there(pair: tuple[Path, Path], first: int, last: int, words: str) -> None:
    recipe = parse_recipe(method="passthrough", slices=[{"sources": [source(pair[0], first, last)]}])
    with pytest.raises(UserError, match=words):
        plan_recipe(recipe)


def test_layers_missing_in_the_second_source(pair: tuple[Path, Path], tmp_path: Path) -> None:
    short = save(tmp_path / "short", llama(num_hidden_layers=2), 3)
    parts = [{"sources": [source(pair[0], 1, 3), source(short, 1, 3)]}]
    with pytest.raises(UserError, match=r"no tensor model.layers.2.\S+; check layer_range \(1, 3\)"):
        plan_recipe(parse_recipe(method="linear", slices=parts))


def test_models_of_another_width_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    wide = save(tmp_path / "wide", llama(hidden_size=12), 3)
    plan = plan_recipe(parse_recipe(method="linear", slices=[{"sources": [source(pair[0], 0, 2), source(wide, 0, 2)]}]))
    assert "cannot be combined" in str(plan.problems[0])


def test_models_of_other_depths_stack(pair: tuple[Path, Path], tmp_path: Path) -> None:
    short = save(tmp_path / "short", llama(num_hidden_layers=2), 3)
    out = merged(tmp_path / "out", [source(pair[0], 0, 4)], [source(short, 0, 2)], method="passthrough")
    assert load(out).config.num_hidden_layers == 6


def test_dtypes_that_differ_between_slices_need_leave(pair: tuple[Path, Path], tmp_path: Path) -> None:
    half = save(tmp_path / "half", llama(), 3, dtype=torch.bfloat16)
    parts = [{"sources": [source(pair[0], 0, 2)]}, {"sources": [source(half, 2, 4)]}]
    plan = plan_recipe(parse_recipe(method="passthrough", slices=parts))
    assert "allow_dtypes" in str(plan.problems[0])
    plan = plan_recipe(parse_recipe(method="passthrough", slices=parts, allow_dtypes=True))
    out = Checkpoint.open(write(plan, tmp_path / "out"))
    assert {info.dtype for info in out.infos.values()} == {torch.float32}


def test_kinds_of_layers_follow_them(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    kinds = ["sliding_attention", "full_attention"] * 2
    values = {"num_key_value_heads": 1, "head_dim": 4, "layer_types": kinds, "vocab_size": 16, "sliding_window": 4}
    config = transformers.Gemma2Config(
        hidden_size=8, intermediate_size=12, num_hidden_layers=4, num_attention_heads=2, **values
    )
    a = save(tmp_path / "a", config, 1)
    out = merged(tmp_path / "out", [source(a, 0, 3)], [source(a, 2, 4)], method="passthrough")
    assert load(out).config.layer_types == [kinds[i] for i in (0, 1, 2, 2, 3)]
    parts = [{"sources": [source(a, 0, 2), source(a, 1, 3)]}]
    with pytest.raises(UserError, match="layer 0 of the result mixes layers of several kinds"):
        plan_recipe(parse_recipe(method="linear", slices=parts))


def whisper(layers: int = 3) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.WhisperConfig(
        d_model=8,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=12,
        vocab_size=20,
        num_mel_bins=4,
        max_source_positions=8,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )


def save_whisper(folder: Path, seed: int = 0) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    transformers.WhisperForConditionalGeneration(whisper()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_one_side_of_whisper(tmp_path: Path, side: str) -> None:
    transformers = pytest.importorskip("transformers")
    a = save_whisper(tmp_path / "a")
    parts = [[source(a, 0, 2)], [source(a, 2, 3)], [source(a, 2, 3)]]
    out = merged(tmp_path / "out", *parts, method="passthrough", stack=f"model.{side}.layers.")
    model = load(out, kind=transformers.WhisperForConditionalGeneration)
    counts = {"encoder": 3, "decoder": 3} | {side: 4}
    assert (model.config.encoder_layers, model.config.decoder_layers) == (counts["encoder"], counts["decoder"])
    assert model.config.num_hidden_layers == counts["encoder"]
    with pytest.raises(UserError, match=r"name the layers to cut with 'stack', one of model.decoder.layers"):
        merged(tmp_path / "none", *parts, method="passthrough")
    with pytest.raises(UserError, match="stack: 'decoder' is none of"):
        merged(tmp_path / "none", *parts, method="passthrough", stack="decoder")


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_the_side_that_is_not_cut_is_one_models(tmp_path: Path, side: str) -> None:
    """Two slices of one side, of two models: the other side is the first's, norms and all."""
    a, b = (save_whisper(tmp_path / name, seed) for seed, name in enumerate("ab"))
    parts = [[source(a, 0, 2)], [source(b, 1, 3)]]
    out = merged(tmp_path / "out", *parts, method="passthrough", stack=f"model.{side}.layers.")
    first, second, found = (Checkpoint.open(path) for path in (a, b, out))
    uncut = {"encoder": "decoder", "decoder": "encoder"}[side]
    names = [name for name in first if name.startswith(f"model.{uncut}.")]
    assert f"model.{uncut}.layers.2.fc1.weight" in names and f"model.{uncut}.layer_norm.weight" in names
    for name in names:
        assert torch.equal(found.read(name), first.read(name)), name
    for place, (whose, layer) in enumerate([(first, 0), (first, 1), (second, 1), (second, 2)]):
        name = "model.{}.layers.{}.fc1.weight".format
        assert torch.equal(found.read(name(side, place)), whose.read(name(side, layer)))


def test_a_head_stands_after_the_decoder(tmp_path: Path) -> None:
    a, b = (save_whisper(tmp_path / name, seed) for seed, name in enumerate("ab"))
    for folder in (a, b):  # a head of its own
        weights = load_file(folder / "model.safetensors")
        weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"] + 1
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for side, whose in (("encoder", a), ("decoder", b)):
        parts = [[source(a, 0, 2)], [source(b, 2, 3)]]
        out = merged(tmp_path / side, *parts, method="passthrough", stack=f"model.{side}.layers.")
        head = Checkpoint.open(out).read("proj_out.weight")
        assert torch.equal(head, Checkpoint.open(whose).read("proj_out.weight"))


def test_gradients_run_over_the_side_that_is_not_cut(tmp_path: Path) -> None:
    a, b = (save_whisper(tmp_path / name, seed) for seed, name in enumerate("ab"))
    part = [source(a, 0, 2), source(b, 0, 2, weight=[0, 1])]
    out = merged(
        tmp_path / "out", part, method="linear", stack="model.decoder.layers.", parameters={"normalize": False}
    )
    a, b, found = (Checkpoint.open(path) for path in (a, b, out))
    for layer, share in enumerate((0, 0.5, 1)):
        name = f"model.encoder.layers.{layer}.fc1.weight"
        assert torch.allclose(found.read(name), a.read(name) + share * b.read(name)), name


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_one_side_of_t5(tmp_path: Path, side: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(
        d_model=8, d_kv=4, d_ff=12, num_layers=3, num_decoder_layers=3, num_heads=2, vocab_size=16
    )
    a = save(tmp_path / "a", config, 1)
    stack = f"{side}.block."
    out = merged(tmp_path / "out", [source(a, 0, 3)], [source(a, 1, 3)], method="passthrough", stack=stack)
    model = load(out, kind=transformers.AutoModelForSeq2SeqLM)
    counts = {"encoder": 3, "decoder": 3} | {side: 5}
    assert (len(model.encoder.block), len(model.decoder.block)) == (counts["encoder"], counts["decoder"])
    parts = [{"sources": [source(a, 0, 3)]}, {"sources": [source(a, 0, 3)]}]
    with pytest.raises(UserError, match=r"layer 3 of the result holds layer.0.SelfAttention.relative_attention_bias"):
        plan_recipe(parse_recipe(method="passthrough", stack=stack, slices=parts))
    with pytest.raises(UserError, match=r"layer 0 of the result lacks layer.0.SelfAttention.relative_attention_bias"):
        plan_recipe(parse_recipe(method="passthrough", stack=stack, slices=[{"sources": [source(a, 1, 3)]}]))


def test_a_base_that_is_no_source_is_not_ignored(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    c = save(tmp_path / "c", llama(), 3)
    with pytest.raises(UserError, match=r"base: .*c is not among the slice's sources, and slerp goes from it"):
        merged(tmp_path / "out", [source(a, 0, 4), source(b, 0, 4)], method="slerp", base=str(c), parameters={"t": 0.3})
    assert not (tmp_path / "out").exists()
