"""Adapters against PEFT's own merge_and_unload, and what speaks against one."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.merge import Checkpoint, apply, write
from syn2real.merge.adapter import AdaptedSource
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.merged import Merged
from syn2real.merge.plan import plan_merged, plan_recipe
from syn2real.merge.recipe import load_recipe
from syn2real.merge.verification import check

from .adapters import parity, save_adapted
from .test_checkpoint import Malice

peft = pytest.importorskip("peft", reason="compares with PEFT's merge_and_unload")
transformers = pytest.importorskip("transformers", reason="compares with PEFT's merge_and_unload")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT's, of tied embeddings


def llama(**changes):
    config = transformers.LlamaConfig(
        vocab_size=61,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        attention_bias=changes.pop("attention_bias", False),
        **{"tie_word_embeddings": False, **changes},
    )
    return transformers.LlamaForCausalLM(config)


def whisper():
    config = transformers.WhisperConfig(
        vocab_size=70,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=8,
        max_source_positions=20,
        max_target_positions=20,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return transformers.WhisperForConditionalGeneration(config)


def gpt2():
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=12, n_layer=2, n_head=2)
    return transformers.GPT2LMHeadModel(config)


@pytest.fixture
def adapt(tmp_path):
    """Save a tiny model and a random adapter on it; return base, adapter and PEFT's merged tensors (float64)."""

    def make(build=llama, dtype=torch.float64, **settings):
        torch.manual_seed(5)
        base, adapter, merged = save_adapted(tmp_path, build(), dtype, **settings)
        return base, adapter, {name: value.clone() for name, value in merged.state_dict().items()}

    return make


LINEAR = ["q_proj", "v_proj", "down_proj"]


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": LINEAR},
        {"target_modules": "all-linear"},
        {"target_modules": r".*layers\.1\.(self_attn|mlp)\..*_proj"},
        {"target_modules": LINEAR, "layers_to_transform": [1]},
        {"target_modules": LINEAR, "use_rslora": True, "r": 3, "lora_alpha": 7},
        {
            "target_modules": LINEAR,
            "r": 4,
            "rank_pattern": {"down_proj": 2, r"layers\.1\.self_attn\.q_proj": 5},
            "alpha_pattern": {"v_proj": 11, "down_proj": 1},
            "use_rslora": True,
        },
        # Both patterns match down_proj of the first layer, and PEFT saves them in another order.
        {"target_modules": LINEAR, "rank_pattern": {"down_proj": 2, r".*\.0\..*": 5}},
        {"target_modules": [*LINEAR, "embed_tokens", "lm_head"]},
        {"target_modules": LINEAR, "modules_to_save": ["lm_head", "input_layernorm"]},
        {"target_modules": LINEAR, "modules_to_save": ["embed_tokens"]},
        {"target_modules": LINEAR, "use_dora": True},
        {"target_modules": ["embed_tokens", "k_proj"], "use_dora": True, "r": 3, "lora_alpha": 5},
    ],
    ids=lambda settings: "-".join(key for key in settings if key != "target_modules") or "plain",
)
def test_llama(adapt, settings):
    parity(*adapt(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "fc1"], "modules_to_save": ["conv1", "encoder.layer_norm"]},
        {"target_modules": ["conv1", "conv2", "v_proj"]},
        {"target_modules": ["conv2", "out_proj"], "use_dora": True},
        {"target_modules": ["q_proj", "v_proj"], "bias": "lora_only"},
        {"target_modules": ["fc1", "fc2", "out_proj"], "bias": "all"},
        {"target_modules": ["fc1"], "bias": "all", "modules_to_save": ["encoder.layer_norm"]},
        {"target_modules": ["q_proj", "fc1", "fc2"], "lora_bias": True, "r": 4, "lora_alpha": 6},
        {"target_modules": ["model.decoder.embed_tokens", "encoder_attn.k_proj"]},
    ],
    ids=str,
)
def test_whisper(adapt, settings):
    parity(*adapt(whisper, **settings))


@pytest.mark.parametrize("dora", [False, True])
def test_conv1d_of_gpt2_stores_its_matrices_the_other_way(adapt, dora):
    parity(*adapt(gpt2, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, use_dora=dora))


def test_conv2d(tmp_path):
    torch.manual_seed(1)
    model = torch.nn.Sequential()
    model.add_module("first", torch.nn.Conv2d(3, 6, (3, 2)))
    model.add_module("second", torch.nn.Conv2d(6, 4, 1))
    model = model.double()
    (tmp_path / "base").mkdir()
    save_file(model.state_dict(), tmp_path / "base" / "model.safetensors")
    settings = peft.LoraConfig(target_modules=["first", "second"], r=2)
    adapted = peft.get_peft_model(model, settings, autocast_adapter_dtype=False)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter)
    adapted.save_pretrained(tmp_path / "lora")
    parity(tmp_path / "base", tmp_path / "lora", adapted.merge_and_unload().state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_models_are_rounded_once(adapt, tmp_path, dtype):
    base, adapter, merged = adapt(dtype=dtype, target_modules=LINEAR)
    checkpoint = parity(base, adapter, merged, tolerance=1e-5 if dtype == torch.float32 else 0.02)
    out = write(Merged(checkpoint, (checkpoint - checkpoint) * 0.0), tmp_path / "out")
    written = load_file(out / "model.safetensors")
    for name in checkpoint:
        value = checkpoint.read(name)
        wanted = value.to(dtype) if dtype == torch.float32 else value.float().to(dtype)
        assert written[name].dtype == dtype and (written[name] != wanted).sum() <= value.numel() // 1000
    assert transformers.AutoModelForCausalLM.from_pretrained(out) is not None


def test_embeddings_tied_to_the_output(adapt):
    base, adapter, merged = adapt(lambda: llama(tie_word_embeddings=True), target_modules=["embed_tokens", "q_proj"])
    checkpoint = parity(base, adapter, merged)
    assert "lm_head.weight" not in checkpoint


def test_an_adapter_s_own_vector(adapt, tmp_path):
    base, adapter, _ = adapt(target_modules=LINEAR)
    plain, tuned = Checkpoint.open(base), Checkpoint.open(base, adapter=adapter)
    vector = tuned - plain
    assert {name for name, norm in vector.norms().items() if norm} == set(tuned._source.changed)
    vector.save(tmp_path / "tau.safetensors", dtype=torch.float64)
    assert tuned.name == "base+lora" and len(tuned.parents) == 3 and tuned.directory == base
    out = apply(plain, vector, 0.5, tmp_path / "half")
    halved = Checkpoint.open(out)
    for name in plain:
        wanted = plain.read(name) + 0.5 * (tuned.read(name) - plain.read(name))
        assert torch.allclose(halved.read(name), wanted, rtol=1e-12, atol=1e-14)


def test_a_prefix_that_one_side_lacks(adapt, tmp_path):
    base, adapter, merged = adapt(target_modules=LINEAR)
    weights = load_file(base / "model.safetensors")
    bare = {name.removeprefix("model."): value for name, value in weights.items() if name != "lm_head.weight"}
    save_file(bare, base / "model.safetensors")
    checkpoint = Checkpoint.open(f"{base}+{adapter}")
    for name in checkpoint:
        assert torch.allclose(checkpoint.read(name), merged[f"model.{name}"], rtol=1e-12, atol=1e-12)
    assert len(checkpoint._source.changed) == 6


def test_pickled_adapters(adapt):
    base, adapter, merged = adapt(target_modules=LINEAR)
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    parity(base, adapter, merged)


def change(adapter, **changes):
    file = adapter / "adapter_config.json"
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value != "gone"}))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"peft_type": "IA3"}, "type 'IA3'"),
        ({"init_lora_weights": "pissa_niter_4"}, "path_initial_model_for_weight_conversion"),
        ({"use_qalora": True}, "use_qalora"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"target_parameters": "gate.weight"}, "target_parameters is not a list"),
        ({"target_parameters": ["mlp.up_proj.weight"]}, "which its target_parameters name"),
        ({"r": 9}, "has rank 8, its configuration says 9"),
        ({"r": "gone"}, "lacks 'r'"),
        ({"rank_pattern": {"(": 3}}, "damaged adapter configuration"),
        ({"rank_pattern": [1]}, "damaged adapter configuration"),
        ({"use_dora": True}, "lacks lora_magnitude_vector"),
        ({"target_modules": [*LINEAR, "up_proj"]}, "lacks model.layers.0.mlp.up_proj, which its target_modules name"),
        ({"modules_to_save": ["lm_head"]}, "lacks lm_head.weight, which its modules_to_save name"),
    ],
    ids=str,
)
def test_configurations_that_cannot_be_merged(adapt, changes, problem):
    base, adapter, _ = adapt(target_modules=LINEAR)
    change(adapter, **changes)
    with pytest.raises(UserError) as caught:
        Checkpoint.open(base, adapter=adapter)
    assert problem in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda w, k: w.pop(k.replace("lora_A", "lora_B")), "model.layers.0.self_attn.q_proj lacks lora_B"),
        (lambda w, k: w.update({k.replace("layers.0", "layers.7"): w.pop(k)}), "layers.7.self_attn.q_proj lacks"),
        (lambda w, k: w.update({k: torch.ones(8, 23)}), "A is [8, 23], B is [24, 8], the tensor is [24, 24] in base"),
        (lambda w, k: w.update({k: torch.ones(7, 24)}), "A is [7, 24]"),
        (lambda w, k: w.update({k.replace("lora_A", "lora_E"): torch.ones(1)}), "is no part of a LoRA adapter"),
        (lambda w, k: w.update({"base_model.model.ghost.weight": torch.ones(1)}), "ghost.weight has no place in base"),
        (lambda w, k: w.update({"base_model.model.lm_head.weight": torch.ones(3, 24)}), "is [3, 24], not [61, 24]"),
        (lambda w, k: w.clear(), "holds no adapter"),
    ],
)
def test_weights_that_do_not_fit(adapt, edit, problem):
    base, adapter, _ = adapt(target_modules=LINEAR)
    weights = load_file(adapter / "adapter_model.safetensors")
    edit(weights, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError) as caught:
        Checkpoint.open(base, adapter=adapter)
    assert problem in str(caught.value) and "\n" not in str(caught.value)


def test_another_base(adapt, make):
    _, adapter, _ = adapt(target_modules=LINEAR)
    with pytest.raises(CheckpointMismatch, match="use the base model that it was trained on"):
        Checkpoint.open(make("other"), adapter=adapter)


def test_what_is_no_adapter(adapt, make, tmp_path):
    base, adapter, _ = adapt(target_modules=LINEAR)
    with pytest.raises(UserError, match=r"BASE\+"):
        Checkpoint.open(adapter)
    with pytest.raises(UserError, match="no such directory; an adapter is a directory"):
        Checkpoint.open(f"{base}+{tmp_path / 'absent'}")
    with pytest.raises(UserError, match="no adapter here"):
        Checkpoint.open(base, adapter=base)
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"no adapter_config\.json"):
        Checkpoint.open(base, adapter=adapter)
    with pytest.raises(UserError, match="no such file or directory"):
        Checkpoint.open(f"{tmp_path / 'absent'}+{adapter}")


def test_plus_in_a_name_that_exists(adapt, tmp_path):
    base, adapter, merged = adapt(target_modules=LINEAR)
    shutil.move(base, tmp_path / "a+b")
    assert Checkpoint.open(tmp_path / "a+b").name == "a+b"
    parity(tmp_path / "a+b", adapter, merged)


def test_several_adapters_are_added_in_turn(adapt, tmp_path):
    base, adapter, _ = adapt(target_modules=LINEAR)
    second = shutil.copytree(adapter, tmp_path / "second+v2")
    change(second, lora_alpha=3)
    both = Checkpoint.open(f"{base}+{adapter}+{second}")
    assert both.name == "base+lora+second+v2"
    plain, one, two = (Checkpoint.open(f"{base}{rest}") for rest in ("", f"+{adapter}", f"+{second}"))
    for name in plain:
        moved = one.read(name).double() + two.read(name).double() - plain.read(name).double()
        assert torch.allclose(both.read(name).double(), moved, rtol=1e-12, atol=1e-12), name
    assert both.held_bytes == 2 * one.held_bytes
    (tmp_path / "recipe.yaml").write_text("expression: A + 0.5 * (T - A)\nmodels: {A: base, T: base+lora+second+v2}\n")
    out = write(plan_recipe(load_recipe(tmp_path / "recipe.yaml")), tmp_path / "out")
    record = json.loads((out / "merge.json").read_text())
    assert record["inputs"][1]["path"] == "../base+../lora+../second+v2"
    assert [parent["name"] for parent in record["inputs"][1]["parents"]] == [
        "base", "lora/adapter_model.safetensors", "lora/adapter_config.json",
        "second+v2/adapter_model.safetensors", "second+v2/adapter_config.json",
    ]  # fmt: skip
    assert check(out).confirmed
    with pytest.raises(UserError, match="an input of the merge"):
        write(plan_recipe(load_recipe(tmp_path / "recipe.yaml")), adapter, overwrite=True)


def test_factors_count_as_memory(adapt):
    base, adapter, _ = adapt(target_modules=LINEAR, r=2)
    model, adapted = Checkpoint.open(base), Checkpoint.open(f"{base}+{adapter}")
    factors = sum(info.numel for info in SafetensorsFile(adapter / "adapter_model.safetensors").infos.values())
    assert (model.held_bytes, adapted.held_bytes) == (0, 8 * factors)
    plans = [plan_merged(model + 0.5 * (other - model)) for other in (model, adapted)]
    assert plans[1].peak_memory(2) - plans[0].peak_memory(2) == 8 * factors


def test_any_range_gives_the_same_bits(adapt):
    base, adapter, _ = adapt(target_modules=LINEAR, use_dora=True)
    source = AdaptedSource(Checkpoint.open(base), adapter)
    name = "model.layers.0.mlp.down_proj.weight"
    whole = source.read(name).reshape(-1)
    for size in (1, 7, 40, 333):
        parts = [source.read_range(name, at, min(at + size, whole.numel())) for at in range(0, whole.numel(), size)]
        assert torch.equal(torch.cat(parts), whole)


def test_malicious_pickles_are_not_run(adapt, tmp_path):
    base, adapter, _ = adapt(target_modules=LINEAR)
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"x": Malice(str(tmp_path / "owned"))}, adapter / "adapter_model.bin")
    with pytest.raises(UserError, match="refused"):
        Checkpoint.open(base, adapter=adapter)
    assert not (tmp_path / "owned").exists()


def test_recipes_and_records_name_both_parts(adapt, tmp_path):
    _, adapter, merged = adapt(target_modules=LINEAR)
    (tmp_path / "recipe.yaml").write_text("expression: A + 0.5 * (T - A)\nmodels: {A: base, T: base+lora}\n")
    plan = plan_recipe(load_recipe(tmp_path / "recipe.yaml"))
    out = write(plan, tmp_path / "deep" / "out")
    record = json.loads((out / "merge.json").read_text())
    assert [entry["path"] for entry in record["inputs"]] == ["../../base", "../../base+../../lora"]
    assert [parent["name"] for parent in record["inputs"][1]["parents"]] == [
        "base", "lora/adapter_model.safetensors", "lora/adapter_config.json",
    ]  # fmt: skip
    assert str(tmp_path) not in json.dumps(record)
    verdict = check(out)
    assert verdict.confirmed and verdict.tensors == len(merged)
    change(adapter, lora_alpha=1)
    assert check(out).changed_inputs == ("base+lora",)
    with pytest.raises(UserError, match="an input of the merge"):
        write(plan, adapter, overwrite=True)
