"""Adapters of mixture-of-experts models, whose file and memory hold the experts differently, against PEFT's merge."""

import json
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from syn2real.errors import UserError
from syn2real.merge import Checkpoint
from syn2real.merge.adapter import AdaptedSource
from syn2real.merge.experts import block_names, names_in_memory, parameter
from syn2real.merge.factors import Factors
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.merged import Merged
from syn2real.merge.output import write
from syn2real.merge.tensors import TensorInfo

from .adapters import parity, peft, refused, save_adapted, saved_tensors

transformers = pytest.importorskip("transformers", minversion="5", reason="compares with PEFT's merge_and_unload")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")  # of targets and ranks

SIZES = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 16,
    "num_experts_per_tok": 2,
}
EXPERTS = ["experts.gate_up_proj", "experts.down_proj"]
FUSED = {"target_modules": [], "target_parameters": EXPERTS}


def mixtral(**changes):
    settings = {**SIZES, "intermediate_size": 20, "num_local_experts": 4, **changes}
    return transformers.MixtralForCausalLM(transformers.MixtralConfig(**settings))


def qwen2(**changes):
    widths = {"intermediate_size": 20, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 10}
    return transformers.Qwen2MoeForCausalLM(
        transformers.Qwen2MoeConfig(**{**SIZES, **widths, "num_experts": 4, **changes})
    )


def qwen3(**changes):
    widths = {"intermediate_size": 20, "moe_intermediate_size": 8, "head_dim": 6}
    return transformers.Qwen3MoeForCausalLM(
        transformers.Qwen3MoeConfig(**{**SIZES, **widths, "num_experts": 4, **changes})
    )


def gpt_oss(**changes):
    widths = {"intermediate_size": 20, "num_local_experts": 4, "head_dim": 6}
    return transformers.GptOssForCausalLM(transformers.GptOssConfig(**{**SIZES, **widths, **changes}))


def llama4(**changes):
    widths = {"intermediate_size": 20, "intermediate_size_mlp": 16, "num_local_experts": 4, "head_dim": 6}
    return transformers.Llama4ForCausalLM(transformers.Llama4TextConfig(**{**SIZES, **widths, **changes}))


@pytest.fixture
def adapt(tmp_path):
    """Save a tiny model with a random adapter; return base, adapter and PEFT's merged tensors, as it saves them."""

    def make(model, **settings):
        torch.manual_seed(5)
        base, adapter, merged = save_adapted(tmp_path, model, **settings)
        return base, adapter, saved_tensors(merged, tmp_path / "merged")

    return make


@pytest.mark.parametrize("build", [mixtral, qwen2, qwen3, gpt_oss, llama4])
@pytest.mark.parametrize(
    "settings",
    [
        {"r": 3, "lora_alpha": 5},
        {"r": 2, "lora_alpha": 5, "use_rslora": True},
        {
            "r": 3,
            "rank_pattern": {"gate_up_proj": 5, r"layers\.1\.\w+\.experts\.down_proj": 1},
            "alpha_pattern": {r".*\.down_proj": 7, "layers.0.mlp.experts.gate_up_proj": 9},
        },
    ],
    ids=["plain", "stabilised", "patterns"],
)
def test_parameters_of_all_experts(adapt, build, settings):
    base, adapter, merged = adapt(build(), **FUSED, **settings)
    checkpoint = parity(base, adapter, merged)
    assert all("experts." in name for name in checkpoint._source.changed)


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (mixtral, {"target_modules": ["q_proj"], "target_parameters": ["experts.down_proj"]}),
        (mixtral, {"target_modules": ["q_proj", "w1", "w2", "w3", "gate"]}),
        (mixtral, {"target_modules": [], "target_parameters": ["gate.weight"]}),
        (qwen2, {"target_modules": ["q_proj", "o_proj"], "target_parameters": [*EXPERTS, "mlp.gate.weight"]}),
        (qwen2, {"target_modules": ["gate_proj", "up_proj", "down_proj"]}),  # of the shared expert alone
        (qwen3, {"target_modules": "all-linear", "target_parameters": ["model.layers.1.mlp.experts.gate_up_proj"]}),
        (gpt_oss, {"target_modules": [], "target_parameters": [*EXPERTS, "gate_up_proj_bias", "router.weight"]}),
    ],
)
def test_parameters_beside_modules(adapt, build, settings):
    parity(*adapt(build(), r=3, lora_alpha=4, **settings))


@pytest.mark.parametrize("build", [qwen3, llama4])
def test_both_ways_that_experts_lie(adapt, build):
    model = build()
    for name, module in model.named_modules():
        if name.endswith("experts"):
            module.is_transposed = True  # as PEFT before 0.19 took all to be: A is as wide as the rows
    base, adapter, merged = adapt(model, r=3, **FUSED)
    checkpoint = parity(base, adapter, merged)
    assert all(factors.flipped for factors in checkpoint._source._factors.values())


def test_a_single_expert(adapt):
    parity(*adapt(mixtral(num_local_experts=1, num_experts_per_tok=1), r=3, **FUSED))


@pytest.mark.parametrize("experts", [2, 5])
def test_square_experts_lie_as_those_that_are_not(adapt, experts):
    # 12 × 12 for gate and projection upwards together
    parity(*adapt(qwen3(moe_intermediate_size=6, num_experts=experts), r=3, **FUSED))


def test_square_experts_alone_are_refused(adapt):
    settings = {"target_modules": [], "target_parameters": ["gate.weight", "experts.gate_up_proj"]}
    base, adapter, _ = adapt(qwen3(moe_intermediate_size=6), **settings)
    said = refused(base, adapter)
    assert "layers.0.mlp.experts: the shapes of gate_up_proj do not tell whether they are (out, in) or" in said
    assert "merge_and_unload" in said


@pytest.mark.parametrize("stabilised", [False, True])
def test_an_adapter_of_single_experts_on_a_file_of_single_experts(tmp_path, stabilised):
    """As PEFT wrote it when each expert was a module; PEFT's own conversion to transformers 5 is the reference."""
    torch.manual_seed(6)
    model = mixtral().double()
    base, adapter = tmp_path / "base", tmp_path / "lora"
    model.save_pretrained(base)
    weights = {}
    for name, value in load_file(base / "model.safetensors").items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        if re.search(r"experts\.\d+\.w[123]\.|q_proj", name):
            weights[f"{module}.lora_A.weight"] = torch.randn(3, value.shape[1], dtype=torch.float64)
            weights[f"{module}.lora_B.weight"] = torch.randn(value.shape[0], 3, dtype=torch.float64)
    targets = ["w1", "w2", "w3", "q_proj"]
    # PEFT doubles rank and α of the fused parameter, so that α/r stays; α/√r would not.
    settings = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, use_rslora=False)
    settings.save_pretrained(adapter)
    save_file(weights, adapter / "adapter_model.safetensors")
    loaded = peft.PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
    merged = saved_tensors(loaded.merge_and_unload(), tmp_path / "merged")
    if not stabilised:
        checkpoint = parity(base, adapter, merged)
        assert len(checkpoint._source.changed) == 2 * (4 * 3 + 1)
    else:
        settings.use_rslora = True
        settings.save_pretrained(adapter)
        plain, stable = Checkpoint.open(base), Checkpoint.open(base, adapter=adapter)
        for name in plain:
            moved = (merged[name] - plain.read(name)) * 3**0.5
            assert torch.allclose(stable.read(name) - plain.read(name), moved, rtol=1e-12, atol=1e-12), name


def test_modules_of_single_experts(tmp_path):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList(
                nn.ModuleDict({"w1": nn.Linear(6, 8), "w2": nn.Linear(8, 6)}) for _ in range(3)
            )

    torch.manual_seed(2)
    model = nn.ModuleDict({"layers": nn.ModuleList([Layer(), Layer()])}).double()
    (tmp_path / "base").mkdir()
    save_file(model.state_dict(), tmp_path / "base" / "model.safetensors")
    settings = peft.LoraConfig(
        target_modules=["w1", "w2"], r=2, rank_pattern={r"experts\.1\.w2": 4}, alpha_pattern={"w1": 3}, use_dora=True
    )
    adapted = peft.get_peft_model(model, settings, autocast_adapter_dtype=False)
    for name, value in adapted.named_parameters():
        if "lora_" in name:
            nn.init.uniform_(value, 0.5, 1.0)
    adapted.save_pretrained(tmp_path / "lora")
    parity(tmp_path / "base", tmp_path / "lora", adapted.merge_and_unload().state_dict())


@pytest.mark.parametrize("build", [qwen3, mixtral, llama4])
def test_a_prefix_that_the_file_lacks(adapt, build):
    base, adapter, merged = adapt(build(), r=2, target_modules=["q_proj"], target_parameters=EXPERTS)
    weights = load_file(base / "model.safetensors")
    bare = {name.removeprefix("model."): value for name, value in weights.items() if name != "lm_head.weight"}
    save_file(bare, base / "model.safetensors")
    parity(base, adapter, {name.removeprefix("model."): value for name, value in merged.items()})


class Wide(nn.Module):
    """Three parameters of experts, declared in another order than that of their names."""

    def __init__(self, shapes):
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, dtype=torch.float64)))


def wide(tmp_path, shapes, **settings):
    torch.manual_seed(3)
    model = nn.ModuleDict({"experts": Wide(shapes)})
    (tmp_path / "base").mkdir()
    save_file(model.state_dict(), tmp_path / "base" / "model.safetensors")
    settings = peft.LoraConfig(
        target_modules=[], target_parameters=[f"experts.{name}" for name in shapes], **{"r": 2, **settings}
    )
    adapted = peft.get_peft_model(model, settings, autocast_adapter_dtype=False)
    for name, value in adapted.named_parameters():
        if "lora_" in name:
            nn.init.normal_(value)
    adapted.save_pretrained(tmp_path / "lora")
    return tmp_path / "base", tmp_path / "lora", adapted.merge_and_unload().state_dict()


@pytest.mark.parametrize("names", [("up", "gate", "down", "route"), ("down", "route", "up", "gate")])
def test_nested_updates_are_told_apart_by_their_shapes(tmp_path, names):
    shapes = {"up": (3, 8, 5), "gate": (3, 7, 5), "down": (3, 5, 8), "route": (3, 5)}
    parity(*wide(tmp_path, {name: shapes[name] for name in names}))


def test_and_by_their_ranks(tmp_path):
    parity(*wide(tmp_path, {"up": (3, 8, 5), "gate": (3, 8, 5)}, rank_pattern={"gate": 3}))


def test_nested_updates_that_look_alike_are_refused(tmp_path):
    base, adapter, _ = wide(tmp_path, {"up": (3, 8, 5), "gate": (3, 8, 5)})
    said = refused(base, adapter)
    assert "experts: the shapes of gate and up do not tell which update is whose" in said and "merge_and_unload" in said


def test_transposed_or_in_another_order(tmp_path):
    base, adapter, _ = wide(tmp_path, {"up": (3, 8, 5), "down": (3, 5, 8)})
    assert "the shapes of down and up do not tell which update is whose" in refused(base, adapter)


def change(adapter, **changes):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


LAYER = "base_model.model.model.layers.0.mlp.experts"


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda w: w.pop(f"{LAYER}.lora_B.weight"), "layers.0.mlp.experts lacks lora_B"),
        (lambda w: [w.pop(f"{LAYER}.lora_{x}.weight") for x in "AB"], "has 1 updates for"),
        (
            lambda w: [w.pop(name) for name in [*w] if name.startswith(LAYER)],
            "gate_up_proj, which its target_parameters name",
        ),
        (
            lambda w: w.update({f"{LAYER}.lora_A.weight": torch.ones(12, 7)}),
            "A is [12, 7], B is [12, 12]; down_proj and gate_up_proj is",
        ),
        (lambda w: w.update({f"{LAYER}.lora_B.bias": torch.ones(12)}), "has lora_B.bias for"),
        (
            lambda w: w.update({name.replace("layers.0", "layers.9"): w.pop(name) for name in [*w] if LAYER in name}),
            "layers.9.mlp.experts has no place in base, which holds no model.layers.9.mlp.experts.down_proj, nor",
        ),
    ],
)
@pytest.mark.parametrize("build", [qwen3, gpt_oss])
def test_weights_that_do_not_fit(adapt, build, edit, problem):
    base, adapter, _ = adapt(build(), r=3, **FUSED)
    weights = load_file(adapter / "adapter_model.safetensors")
    edit(weights)
    save_file(weights, adapter / "adapter_model.safetensors")
    assert problem in refused(base, adapter)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"r": 4}, "A is [12, 8], B is [12, 12]; down_proj is [4, 12, 8] in base, with rank 4 by the configuration"),
        (
            {"target_parameters": ["experts.down_proj", "experts.gate_up_proj", "mlp.gate.weight"]},
            "it lacks model.laye",
        ),
        ({"target_parameters": []}, "has no place in base"),
        ({"use_dora": True}, "mlp.experts: DoRA of down_proj is not defined"),
    ],
    ids=str,
)
def test_configurations_that_do_not_fit(adapt, changes, problem):
    settings = {"target_modules": [], "target_parameters": ["experts.down_proj"]}
    base, adapter, _ = adapt(qwen3(), r=3, **settings)
    change(adapter, **changes)
    assert problem in refused(base, adapter)


def test_experts_by_other_names_are_refused(adapt):
    base, adapter, _ = adapt(qwen3(), **FUSED)
    weights = load_file(base / "model.safetensors")
    save_file({name.replace("gate_proj", "tor"): value for name, value in weights.items()}, base / "model.safetensors")
    said = refused(base, adapter)
    assert "nor a matrix for each expert by a name that is known here" in said


def test_an_adapter_of_single_experts_on_a_file_of_all_is_refused(adapt):
    base, adapter, _ = adapt(gpt_oss(), target_modules=["q_proj"], r=2)
    ones = {"lora_A": torch.ones(2, 12), "lora_B": torch.ones(20, 2)}
    weights = load_file(adapter / "adapter_model.safetensors")
    weights |= {f"{LAYER}.1.up_proj.{part}.weight": value for part, value in ones.items()}
    save_file(weights, adapter / "adapter_model.safetensors")
    assert "which does not hold each expert apart; merge it with PEFT's merge_and_unload" in refused(base, adapter)


@pytest.mark.parametrize("build", [gpt_oss, mixtral])
def test_any_range_gives_the_same_bits(adapt, build):
    base, adapter, _ = adapt(build(), r=3, **FUSED)
    source = AdaptedSource(Checkpoint.open(base), adapter)
    name = next(name for name in source.changed if "layers.1" in name)
    whole = source.read(name).reshape(-1)
    for size in (1, 7, 200, 333):
        parts = [source.read_range(name, at, min(at + size, whole.numel())) for at in range(0, whole.numel(), size)]
        assert torch.equal(torch.cat(parts), whole)


def test_factors_count_as_memory_expert_by_expert(adapt):
    base, adapter, _ = adapt(gpt_oss(num_local_experts=20), r=2, **FUSED)
    source = AdaptedSource(Checkpoint.open(base), adapter)
    each = sorted(f for factors in source._factors.values() for f in factors.elements(source._adapter))
    assert len(each) == 80 and source.held_bytes == 8 * sum(each[-64:])
    total = sum(info.numel for info in SafetensorsFile(adapter / "adapter_model.safetensors").infos.values())
    assert sum(each) == total


def test_the_merged_model_loads(adapt, tmp_path):
    base, adapter, merged = adapt(mixtral(), r=3, **FUSED)
    checkpoint = Checkpoint.open(base, adapter=adapter)
    out = write(Merged(checkpoint, (checkpoint - checkpoint) * 0.0), tmp_path / "out")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float64)
    found = saved_tensors(loaded, tmp_path / "again")
    assert all(torch.allclose(found[name], merged[name], rtol=1e-12, atol=1e-12) for name in merged)


class Held:
    """Tensors in memory, as a `TensorSource`."""

    def __init__(self, **tensors):
        self.tensors = tensors
        self.infos = {name: TensorInfo(tuple(value.shape), value.dtype) for name, value in tensors.items()}

    def read(self, name):
        return self.tensors[name]


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_the_products_of_a_stack(experts, rank, rows, columns, seed, flipped):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(experts * rank, columns, generator=generator, dtype=torch.float64)
    b = torch.randn(rows, rank * experts, generator=generator, dtype=torch.float64)
    wanted = torch.einsum("ore,eri->eoi", b.view(rows, rank, experts), a.view(experts, rank, columns))
    wanted = wanted.transpose(1, 2) if flipped else wanted
    height = wanted.shape[1]
    held = Held(a=a, b=b)
    for first in range(experts):
        factors = Factors("a", "b", 1.0, flipped, experts=experts, first=first, matrices=experts - first)
        for index in range(factors.matrices):
            found = factors.product(held, index).range(0, rows * columns)
            assert torch.allclose(found, wanted[first + index].reshape(-1), rtol=1e-12, atol=1e-12)
        part = Factors("a", "b", 1.0, flipped, experts=experts, first=first, rows=(height // 2, height))
        if height > 1:
            product = part.product(held, 0)
            found = product.range(0, product.rows * product.columns)
            assert torch.allclose(found, wanted[first, height // 2 :].reshape(-1), rtol=1e-12, atol=1e-12)


def infos(**shapes):
    return {name: TensorInfo(shape, torch.float32) for name, shape in shapes.items()}


def test_where_a_parameter_lies():
    each = {f"x.experts.{i}.{leaf}.weight": (6, 4) for i in range(3) for leaf in ("w1", "w3")}
    found = parameter("p", "x.experts.gate_up_proj", infos(**each))
    assert (found.name, found.experts, found.shape) == ("p", 3, (12, 4))
    assert [(part.name, part.first, part.rows) for part in found.parts[:3]] == [
        ("x.experts.0.w1.weight", 0, (0, 6)),
        ("x.experts.0.w3.weight", 0, (6, 12)),
        ("x.experts.1.w1.weight", 1, (0, 6)),
    ]
    assert parameter("p", "x.experts.down_proj", infos(**each)) is None
    assert parameter("p", "x.experts.gate_up_proj", infos(**{**each, "x.experts.2.w3.weight": (6, 5)})) is None
    assert parameter("p", "x.bias", infos(**{"x.bias": (6,)})) is None


def test_the_block_of_the_experts():
    names = ["m.layers.0.moe.experts.0.w1.weight", "m.layers.0.moe.gate.weight", "m.layers.1.mlp.up_proj.weight"]
    renamed = block_names(names)
    assert renamed("m.layers.0.mlp.gate.weight") == "m.layers.0.moe.gate.weight"
    assert renamed("m.layers.1.mlp.gate.weight") == "m.layers.1.mlp.gate.weight"
    assert renamed("m.layers.0.self_attn.gate.weight") == "m.layers.0.self_attn.gate.weight"
    both = block_names([*names, "m.layers.0.mlp.up_proj.weight"])
    assert both("m.layers.0.mlp.gate.weight") == "m.layers.0.mlp.gate.weight"


def test_the_names_in_memory_of_the_block_of_the_experts():
    names = ["m.layers.0.moe.experts.0.w1.weight", "m.layers.1.moe.experts.0.w1.weight", "m.layers.1.mlp.up.weight"]
    renamed = names_in_memory(names)
    assert renamed("m.layers.0.moe.gate.weight") == "m.layers.0.mlp.gate.weight"
    assert names_in_memory(["m.0.b.1.moe.experts.0.w1.weight"])("m.0.b.1.moe.gate.weight") == "m.0.b.1.mlp.gate.weight"
    for name in ("m.layers.1.moe.gate.weight", "m.layers.0.attn.moe.weight", "m.norm.weight"):
        assert renamed(name) == name


def written(folder, base, adapter, **settings):
    """A base and an adapter of ones, from the shapes of their tensors."""
    for name, weights in (("base/model", base), ("lora/adapter_model", adapter)):
        (folder / name).parent.mkdir()
        save_file({key: torch.ones(shape) for key, shape in weights.items()}, folder / f"{name}.safetensors")
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, **settings}
    (folder / "lora" / "adapter_config.json").write_text(json.dumps(settings))
    return folder / "base", folder / "lora"


def factors(module, a, b):
    return {f"base_model.model.{module}.lora_A.weight": a, f"base_model.model.{module}.lora_B.weight": b}


@pytest.mark.parametrize(
    ("module", "shapes", "settings"),
    [
        ("experts", ((4, 6), (4, 4)), {"target_parameters": ["mlp.experts.down_proj"]}),
        ("gate", ((2, 4), (2, 2)), {"target_parameters": ["mlp.gate.weight"]}),
        ("gate", ((2, 4), (2, 2)), {"target_modules": ["mlp.gate"]}),
    ],
)
def test_a_layer_that_the_adapter_lacks_where_the_file_has_another_name(tmp_path, module, shapes, settings):
    blocks = [f"layers.{layer}.moe" for layer in (0, 1)]
    base = {f"{block}.experts.{i}.w2.weight": (4, 6) for block in blocks for i in (0, 1)}
    base |= {f"{block}.gate.weight": (2, 4) for block in blocks}
    said = refused(*written(tmp_path, base, factors(f"layers.0.mlp.{module}", *shapes), **settings))
    assert f"it lacks layers.1.mlp.{module}" in said


def test_two_updates_of_one_tensor_are_refused(tmp_path):
    base = {f"e.experts.{i}.down_proj.weight": (4, 5) for i in (0, 1)}
    adapter = factors("e.experts", (4, 5), (4, 4)) | factors("e.experts.1.down_proj", (2, 5), (4, 2))
    settings = {"target_parameters": ["experts.down_proj"], "target_modules": ["1.down_proj"]}
    said = refused(*written(tmp_path, base, adapter, **settings))
    assert "e.experts.down_proj: e.experts.1.down_proj.weight has another update too" in said


def test_two_names_of_one_module_are_refused(tmp_path):
    base = {"layers.0.moe.experts.0.w2.weight": (4, 5), "layers.0.moe.gate.weight": (4, 5)}
    adapter = factors("layers.0.mlp.gate", (2, 5), (4, 2)) | factors("layers.0.moe.gate", (2, 5), (4, 2))
    said = refused(*written(tmp_path, base, adapter, target_modules=["gate"]))
    assert "layers.0.moe.gate.weight has another update too" in said


@pytest.mark.parametrize(
    ("base", "adapter", "settings"),
    [
        ("q_proj.weight", factors("layers.0.q_proj", (2, 4), (3, 2)), {"target_modules": "all-linear"}),
        ("experts.0.w2.weight", factors("layers.0.experts.0.w2", (2, 4), (3, 2)), {"target_modules": "all-linear"}),
        ("experts.up", factors("layers.0.experts", (6, 4), (3, 6)), {"target_parameters": ["experts.up"]}),
    ],
)
def test_which_of_two_towers_is_not_guessed(tmp_path, base, adapter, settings):
    shape = (3, 3, 4) if base == "experts.up" else (3, 4)
    towers = {f"{tower}.layers.0.{base}": shape for tower in ("text", "vision")}
    said = refused(*written(tmp_path, towers, adapter, **settings))
    assert f"text.layers.0.{base} and vision.layers.0.{base} may both be meant" in said


def test_many_parameters_that_look_alike_are_refused_at_once(tmp_path):
    names = [f"p{i}" for i in range(12)]  # in 479 million orders
    adapter = {}
    for depth in range(12):
        adapter |= factors("e" + ".base_layer" * depth, (4, 4), (3, 4))
    settings = {"target_parameters": [f"e.{name}" for name in names]}
    said = refused(*written(tmp_path, {f"e.{name}": (2, 3, 4) for name in names}, adapter, **settings))
    assert "do not tell which update is whose" in said


def test_no_experts_and_no_rank_are_refused(tmp_path):
    empty = {"target_parameters": ["experts.up"]}
    none = written(tmp_path, {"experts.up": (0, 3, 4)}, factors("experts", (0, 4), (3, 0)), **empty)
    assert "experts has no place in base" in refused(*none)
    for changes in ({"r": 0}, {"rank_pattern": {"up": 0}}):
        change(none[1], **changes)
        assert "damaged adapter configuration: a rank of 0" in refused(*none)


@pytest.mark.parametrize("name", ["q.weight", "experts.up"])
def test_a_base_of_8_bits_is_refused(tmp_path, name):
    module = name.rpartition(".")[0]
    settings = {"target_modules": ["q"], "target_parameters": ["experts.up"]}
    base, adapter = written(tmp_path, {name: (3, 4)}, factors(module, (2, 4), (3, 2)), **settings)
    save_file({name: torch.ones(3, 4).to(torch.float8_e4m3fn)}, base / "model.safetensors")
    assert "is quantised in base" in refused(base, adapter)


def test_target_parameters_need_a_sound_file(adapt):
    base, adapter, _ = adapt(qwen3(), **FUSED)
    change(adapter, target_parameters={"experts": 1})
    with pytest.raises(UserError, match="target_parameters is not a list"):
        Checkpoint.open(base, adapter=adapter)
