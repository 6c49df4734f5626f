"""Whole architectures merged by recipe and loaded in transformers; models of different widths."""

from pathlib import Path
from typing import Any

import pytest
import torch

from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.output import write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import load_recipe, parse_recipe
from tests.merge.llamas import llama, load, save

METHODS: list[dict[str, Any]] = [
    {"method": "linear", "parameters": {"weight": {"experts": 2, "*": 1}}},
    {"method": "ties", "parameters": {"density": {"cross_attention": 0.3, "mlp": [0.2, 0.9], "*": 1.0}}},
    {"method": "dare_ties", "parameters": {"density": 0.5}},
    {"method": "della_linear", "parameters": {"density": 0.5, "weight": 0.5}},
    {"method": "model_stock"},
    {"method": "breadcrumbs"},
]


def mixtral() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.MixtralConfig(
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        num_experts_per_tok=2,
        vocab_size=16,
        max_position_embeddings=32,
    )


def t5() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.T5Config(d_model=8, d_kv=4, d_ff=12, num_layers=2, num_heads=2, vocab_size=16)


@pytest.mark.parametrize("recipe", METHODS, ids=lambda recipe: recipe["method"])
@pytest.mark.parametrize("layout", [mixtral, t5])
def test_tuned_models_merge_and_load(tmp_path: Path, layout: Any, recipe: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    base = save(tmp_path / "base", layout(), 0)
    tuned = [save(tmp_path / name, layout(), seed, near=0) for seed, name in enumerate("ab", 1)]
    given = {"base": str(base), "models": list(map(str, tuned))}
    if recipe["method"] == "linear":  # to which the base is a model like others
        given = {"models": list(map(str, (base, *tuned)))}
    plan = plan_recipe(parse_recipe(**given, **recipe))
    kind = transformers.AutoModelForSeq2SeqLM if layout is t5 else transformers.AutoModelForCausalLM
    model = load(write(plan, tmp_path / "out", threads=1), kind=kind)
    inputs = {"input_ids": torch.tensor([[3, 4, 5]])}
    if layout is t5:
        inputs["decoder_input_ids"] = torch.tensor([[0, 1]])
    before = load(base, kind=kind)(**inputs).logits
    after = model(**inputs).logits
    assert after.isfinite().all() and not torch.equal(before, after)
    assert (after - before).abs().max() < 2


def test_groups_reach_experts_and_routers(tmp_path: Path) -> None:
    a, b = (save(tmp_path / name, mixtral(), seed) for seed, name in enumerate("ab"))
    parameters = {"t": {"router": 0, "experts": 1, "attention": {"/q_proj/": 1, "*": 0}, "*": 0.5}}
    plan = plan_recipe(parse_recipe(method="slerp", models=[str(a), str(b)], parameters=parameters))
    assert not plan.notes
    found = Checkpoint.open(write(plan, tmp_path / "out", threads=1))
    first, second = Checkpoint.open(a), Checkpoint.open(b)
    taken = {name: [torch.allclose(found.read(name), model.read(name)) for model in (first, second)] for name in found}
    for name, (is_first, is_second) in taken.items():
        if "norm" not in name:
            whole = "experts" in name or "q_proj" in name
            none = "embed" in name or "lm_head" in name
            assert (is_first, is_second) == (not whole and not none, whole), name


@pytest.mark.parametrize("leave", [False, True])
def test_widths_that_differ(tmp_path: Path, leave: bool) -> None:
    a = save(tmp_path / "a", llama(), 1, dtype=torch.bfloat16)
    b = save(tmp_path / "b", llama(), 2)
    plan = plan_recipe(parse_recipe(method="linear", models=[str(a), str(b)], allow_dtypes=leave))
    if not leave:
        assert "say allow_dtypes" in str(plan.problems[0])
        return
    found = Checkpoint.open(write(plan, tmp_path / "out", threads=1))
    assert {info.dtype for info in found.infos.values()} == {torch.bfloat16}
    for name in found:
        # Each in its own width, rounded once.
        mean = (Checkpoint.open(a).read(name).double() + Checkpoint.open(b).read(name).double()) / 2
        assert (found.read(name).double() - mean).abs().max() <= mean.abs().max() / 256
    assert load(tmp_path / "out").dtype == torch.bfloat16


def test_widths_in_mergekits_dialect_may_differ(tmp_path: Path) -> None:
    save(tmp_path / "a", llama(), 1, dtype=torch.bfloat16)
    save(tmp_path / "b", llama(), 2)
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(
        "merge_method: linear\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\ndtype: float32\n"
    )
    out = write(plan_recipe(load_recipe(recipe)), tmp_path / "out", threads=1)
    name = "model.norm.weight"
    mean = sum(Checkpoint.open(tmp_path / m).read(name).double() for m in "ab") / 2
    assert torch.equal(Checkpoint.open(out).read(name), mean.float())
    assert load(out).dtype == torch.float32


def test_real_whisper_weights_of_two_formats(whisper_tiny: Path, tiny_en: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    recipe = parse_recipe(
        method="slerp",
        models=[str(tiny_en), str(whisper_tiny)],
        parameters={"t": {"encoder": [0, 1], "cross_attention": 0.3, "*": 0.5}},
        allow_dtypes=True,
    )
    plan = plan_recipe(recipe)
    assert not plan.problems
    out = write(plan, tmp_path / "out", threads=1)
    model = load(out, kind=transformers.WhisperForConditionalGeneration, dtype=torch.float32)
    # The same weights in two formats, so that any point between them is the same model.
    own = load(tiny_en, kind=transformers.WhisperForConditionalGeneration, dtype=torch.float32)
    for name, value in own.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, atol=2e-3), name
