import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.merge import Checkpoint, TaskVector, apply, write
from syn2real.merge.extraction import extract_lora
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import parse_recipe
from syn2real.merge.verification import check

from .conftest import SHAPES, tensors


@pytest.fixture
def models(make):
    return [Checkpoint.open(make(name, seed)) for name, seed in (("t", 1), ("r", 2), ("s", 3))]


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_complete_directory(models, tmp_path):
    t, r, s = models
    added = [
        "vocab.json", "merges.txt", "generation_config.json", "preprocessor_config.json", "chat_template.jinja",
        "special_tokens_map.json", "added_tokens.json", "normalizer.json", "spiece.model", "LICENSE",
    ]  # fmt: skip
    for extra in added:
        (t.directory / extra).write_text(extra)
    for junk in ("optimizer.pt", "trainer_state.json", "training_args.bin", "README.md", "rng_state.pth", "log.txt"):
        (t.directory / junk).write_text(junk)
    (t.directory / "checkpoint-3").mkdir()
    seen = []
    out = apply(t, r - s, 0.3, tmp_path / "out", on_tensor=seen.append)
    assert sorted(seen) == sorted(SHAPES)
    own = {"model.safetensors", "config.json", "tokenizer.json", "merge.json", "README.md"}
    assert set(content(out)) == own | set(added)
    weights = load_file(out / "model.safetensors")
    merged = t + 0.3 * (r - s)
    assert all(torch.equal(weights[name], merged.tensor(name)) for name in SHAPES)
    with safe_open(out / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    record = json.loads((out / "merge.json").read_text())
    assert record["anchor"] == "t" and record["recipe"]["expression"] == "1.0 * m0 + 0.3 * m1 + -0.3 * m2"
    assert record["recipe"]["models"] == {"m0": "../t", "m1": "../r", "m2": "../s"}
    card = (out / "README.md").read_text()
    assert t.sha256 in card and record["recipe"]["expression"] in card
    assert [(entry["name"], entry["sha256"]) for entry in record["inputs"]] == [
        (model.name, model.sha256) for model in (t, r, s)
    ]
    assert str(tmp_path) not in (out / "merge.json").read_text()
    assert (out / "config.json").read_bytes() == (t.directory / "config.json").read_bytes()


def test_repeating_gives_the_same_bytes_anywhere(models, tmp_path):
    t, r, s = models
    first = content(apply(t, r - s, 1.0, tmp_path / "out"))
    assert content(apply(t, r - s, 1.0, tmp_path / "again")) == first
    for name in "trs":
        shutil.copytree(tmp_path / name, tmp_path / "z" / name)
    t, r, s = (Checkpoint.open(tmp_path / "z" / name) for name in "trs")
    assert content(apply(t, r - s, 1.0, tmp_path / "z" / "out")) == first


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_scale_zero_gives_the_anchor_s_bytes(make, tmp_path, dtype):
    mixed = {"ids": torch.arange(3), "wide": torch.ones(2, dtype=torch.float64)}
    t, r = (Checkpoint.open(make(name, seed, dtype, mixed)) for name, seed in (("t", 1), ("r", 2)))
    out = apply(t, r - t, 0.0, tmp_path / "out")
    assert (out / "model.safetensors").read_bytes() == (t.directory / "model.safetensors").read_bytes()
    assert load_file(apply(t, r - t, 1.0, tmp_path / "one") / "model.safetensors").keys() == {*SHAPES, *mixed}
    whole = (tmp_path / "one" / "model.safetensors").read_bytes()
    assert whole == (r.directory / "model.safetensors").read_bytes()


def test_shards_are_kept(make, tmp_path):
    t, r = Checkpoint.open(make("t", 1)), Checkpoint.open(make("r", 2))
    weights = tensors(5)
    names = list(weights)
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    placed = {}
    for i, part in enumerate((names[:3], names[3:]), 1):
        file = f"model-0000{i}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, sharded / file, metadata={"format": "pt"})
        placed |= dict.fromkeys(part, file)
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    (sharded / "config.json").write_text("{}")
    out = write(Checkpoint.open(sharded) + 0.5 * (t - r), tmp_path / "out")
    again = Checkpoint.open(out)
    assert again.layout.keys() == set(placed.values()) and set(again) == set(names)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == placed and index["metadata"]["total_size"] == again.parameters * 4
    assert torch.equal(again.read("model.scale"), (Checkpoint.open(sharded) + 0.5 * (t - r)).tensor("model.scale"))


def test_out_dtype_reaches_the_configuration(models, tmp_path):
    t, r, s = models
    config = {"torch_dtype": "float32", "text_config": {"dtype": "float32", "n": 1}, "model_type": "é"}
    config["quantization_config"] = {"quant_method": "gguf"}
    (t.directory / "config.json").write_text(json.dumps(config))
    out = apply(t, r - s, 0.5, tmp_path / "out", out_dtype=torch.bfloat16)
    wanted = {"torch_dtype": "bfloat16", "text_config": {"dtype": "bfloat16", "n": 1}, "model_type": "é"}
    assert json.loads((out / "config.json").read_text()) == wanted
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    with pytest.raises(UserError, match="choose from"):
        apply(t, r - s, 0.5, tmp_path / "x", out_dtype=torch.int8)


def test_code_goes_along_only_where_it_is_named(models, tmp_path):
    t, r, s = models
    (t.directory / "modeling_toy.py").write_text("")
    assert not (apply(t, r - s, 1, tmp_path / "a") / "modeling_toy.py").exists()
    (t.directory / "config.json").write_text('{"auto_map": {"AutoModel": "modeling_toy.Toy"}}')
    assert (apply(t, r - s, 1, tmp_path / "b") / "modeling_toy.py").exists()


def leaves_nothing(tmp_path):
    return not any(path.name.startswith((".out", "out")) for path in tmp_path.iterdir())


def test_an_error_in_the_middle_leaves_nothing(models, tmp_path):
    t, r, s = models

    def fail(name):
        raise RuntimeError(name)

    with pytest.raises(RuntimeError):
        apply(t, r - s, 0.3, tmp_path / "out", on_tensor=fail)
    assert leaves_nothing(tmp_path)
    with pytest.raises(UserError, match="not finite in float16"):
        apply(t, r - s, 1e6, tmp_path / "out", out_dtype=torch.float16)
    assert leaves_nothing(tmp_path)


KILLED = """
import os, signal, sys
from syn2real.merge import Checkpoint, apply
t, r, s = (Checkpoint.open(path) for path in sys.argv[1:4])
count = 0
def stop(name):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
apply(t, r - s, 0.3, sys.argv[4], on_tensor=stop)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_merge_is_repeated_to_the_same_bytes(models, tmp_path):
    arguments = [str(model.path) for model in models] + [str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.partial").exists()
    t, r, s = models
    first = content(apply(t, r - s, 0.3, tmp_path / "out"))
    assert not (tmp_path / ".out.partial").exists()
    assert content(apply(t, r - s, 0.3, tmp_path / "clean")) == first


def test_outputs_that_must_not_be_touched(models, tmp_path):
    t, r, s = models
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        apply(t, r - s, 0.3, tmp_path / "full")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    for place in (t.path, r.path, tmp_path):
        with pytest.raises(UserError, match="an input of the merge"):
            apply(t, r - s, 0.3, place, overwrite=True)
    (tmp_path / "void").mkdir()
    apply(t, r - s, 0.3, tmp_path / "void")
    before = content(tmp_path / "void")
    apply(t, r - s, 0.4, tmp_path / "void", overwrite=True)
    assert content(tmp_path / "void") != before


def test_weights_alone(models, tmp_path):
    """Of files without a configuration, from a recipe and by a setting; and they are confirmed."""
    t, r, _ = models
    lone = []
    for model in (t, r):
        lone.append(tmp_path / f"{model.name}.safetensors")
        shutil.copyfile(model.directory / "model.safetensors", lone[-1])
    names = {"T": str(lone[0]), "R": str(lone[1])}
    recipe = parse_recipe(expression="0.5*T + 0.5*R", models=names, template="none")
    out = write(plan_recipe(recipe), tmp_path / "out")
    assert set(content(out)) == {"model.safetensors", "merge.json", "README.md"}
    assert json.loads((out / "merge.json").read_text())["recipe"]["template"] == "none"
    assert not check(out).differing
    again = write(plan_recipe(recipe.model_copy(update={"template": None})), tmp_path / "set", template="none")
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_the_record_of_a_merge_with_a_template_has_no_path_of_this_machine(models, tmp_path):
    t, r, _ = models
    (tmp_path / "lone").mkdir()
    shutil.copy(t.directory / "model.safetensors", tmp_path / "lone" / "model.safetensors")
    names = [str(tmp_path / "lone"), str(r.path)]
    recipe = parse_recipe(method="linear", models=names, template=str(t.directory))
    out = write(plan_recipe(recipe), tmp_path / "out")
    assert json.loads((out / "merge.json").read_text())["recipe"]["template"] == "../t"
    assert check(out).confirmed


def test_two_merges_at_once_do_not_mix(models, tmp_path):
    t, r, s = models
    refused = []

    def start_another(name):
        with pytest.raises(UserError, match="another process is writing it") as raised:
            apply(t, r - s, 8, tmp_path / "out")
        refused.append(raised)

    first = content(apply(t, r - s, 0.3, tmp_path / "out", on_tensor=start_another))
    assert len(refused) == len(SHAPES)
    assert content(apply(t, r - s, 0.3, tmp_path / "clean")) == first


def interrupted(*arguments, after=3, **options):
    """A merge that is interrupted once it has computed so many tensors."""
    left = after

    def stop(name):
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(*arguments, on_tensor=stop, **options)


def test_what_is_left_of_another_merge_is_cleared_away(models, tmp_path):
    t, r, s = models
    interrupted(t, r - s, 8, tmp_path / "out")
    (tmp_path / ".out.partial" / "folder").mkdir()
    (tmp_path / ".out.partial" / "folder" / "file").touch()
    first = content(apply(t, r - s, 0.3, tmp_path / "out"))
    assert content(apply(t, r - s, 0.3, tmp_path / "clean")) == first


def test_a_resumed_merge_needs_only_the_space_that_it_has_not_taken(make, tmp_path, monkeypatch):
    t, r, s = (
        Checkpoint.open(make(name, seed, change={"big": torch.full((600_000,), float(seed))}))
        for seed, name in enumerate("trs")
    )
    interrupted(t, r - s, 0.3, tmp_path / "out")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**7, 10**7 - 2_000_000, 2_000_000))
    with pytest.raises(UserError, match="no space left"):
        apply(t, r - s, 0.3, tmp_path / "clean")
    apply(t, r - s, 0.3, tmp_path / "out")


def test_inputs_are_not_replaced_by_what_is_made_of_them(models, tmp_path):
    t, r, s = models
    before = content(r.directory)
    for place in (r.directory / "model.safetensors", s.directory / "model.safetensors"):
        with pytest.raises(UserError, match="one of the vector's own inputs"):
            (r - s).save(place)
    for place in (t.directory, r.directory, tmp_path):
        with pytest.raises(UserError, match="an input of the extraction"):
            extract_lora(r - s, t, place, rank=1, overwrite=True)
    assert content(r.directory) == before


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_configuration_is_found_before_anything_is_merged(models, tmp_path, text):
    t, r, s = models
    (t.directory / "config.json").write_text(text)
    seen = []
    with pytest.raises(UserError, match=r"t/config\.json: no"):
        apply(t, r - s, 0.3, tmp_path / "out", on_tensor=seen.append)
    assert not seen and leaves_nothing(tmp_path)


@pytest.mark.parametrize(
    ("method", "parameters", "problem"),
    [
        ("ties", {"density": 1.5}, "density: 1.5"),
        ("dare_linear", {"density": {"layers.1.": 1.5, "*": 0.5}}, "density: 1.5"),
        ("della", {"density": 0.5, "epsilon": 1.2}, "epsilon"),
        ("ties", {"variant": "paper", "weight": 0.5}, "no weights"),
        ("linear", {"weight": 0.0}, "sum to 0"),
    ],
)
def test_parameters_that_nothing_can_be_merged_with_are_found_first(models, tmp_path, method, parameters, problem):
    names = [str(model.path) for model in models]
    base = {} if method == "linear" else {"base": names[0]}
    recipe = {"method": method, "models": names[1:], "parameters": parameters} | base
    seen = []
    with pytest.raises(UserError, match=problem):
        write(plan_recipe(parse_recipe(**recipe)), tmp_path / "out", on_tensor=seen.append)
    assert not seen and leaves_nothing(tmp_path)


def test_numbers_of_eight_bits_can_be_merged_into_their_own_kind(make, tmp_path):
    a, b = (Checkpoint.open(make(name, seed, dtype=torch.float8_e5m2)) for seed, name in enumerate("ab"))
    out = write((0.5 * a + 0.5 * b).anchored(a), tmp_path / "out")
    assert load_file(out / "model.safetensors")["model.layers.0.fc1.weight"].dtype == torch.float8_e5m2


def test_a_record_with_an_unknown_key_is_named(models, tmp_path):
    t, r, s = models
    out = apply(t, r - s, 0.3, tmp_path / "out")
    record = json.loads((out / "merge.json").read_text())
    record["recipe"]["epxression"] = "t"
    (out / "merge.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="epxression"):
        check(out)


def test_no_space(models, tmp_path, monkeypatch):
    t, r, s = models
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1))
    with pytest.raises(UserError, match="no space left"):
        apply(t, r - s, 0.3, tmp_path / "out")
    with pytest.raises(UserError, match="no space left"):
        (r - s).save(tmp_path / "out.safetensors")
    assert leaves_nothing(tmp_path)


def test_integers_that_differ_stop_the_merge_first(make, tmp_path):
    a, b = (
        Checkpoint.open(make(name, seed, change={"ids": torch.arange(3) + seed})) for name, seed in (("a", 1), ("b", 2))
    )
    with pytest.raises(CheckpointMismatch, match="ids"):
        apply(a, a - b, 0.3, tmp_path / "out")
    assert leaves_nothing(tmp_path)


def test_weights_without_a_configuration(models, tmp_path):
    t, r, s = models
    shutil.copy(t.directory / "model.safetensors", tmp_path / "lone.safetensors")
    lone = Checkpoint.open(tmp_path / "lone.safetensors")
    with pytest.raises(UserError, match="template"):
        apply(lone, r - s, 0.3, tmp_path / "out")
    out = apply(lone, r - s, 0.3, tmp_path / "out", template=t.directory)
    assert (out / "tokenizer.json").exists() and (out / "model.safetensors").exists()
    (t.directory / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config\.json"):
        apply(t, r - s, 0.3, tmp_path / "other")


def test_a_real_whisper_loads_in_plain_transformers(whisper_tiny, tmp_path):
    transformers = pytest.importorskip("transformers", reason="loads the result")
    base = Checkpoint.open(whisper_tiny)
    generator = torch.Generator().manual_seed(0)
    moved = {}
    for name, info in base.items():
        noise = torch.randn(info.shape, generator=generator) * 1e-3
        moved[name] = (base.read(name).float() + noise).to(info.dtype)
    (tmp_path / "tuned").mkdir()
    save_file(moved, tmp_path / "tuned" / "model.safetensors", metadata={"format": "pt"})
    template = tmp_path / "template"
    size = {"d_model": 384, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536, "vocab_size": 51864}
    size |= {
        f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 4), ("attention_heads", 6))
    }
    transformers.WhisperConfig(**size, architectures=["WhisperForConditionalGeneration"]).save_pretrained(template)
    tuned = Checkpoint.open(tmp_path / "tuned")
    (tuned - base).save(tmp_path / "tau.safetensors")
    tau = TaskVector.load(tmp_path / "tau.safetensors")
    out = apply(base, tau, 1.0, tmp_path / "out", template=template, out_dtype=torch.float16)
    model, report = transformers.WhisperForConditionalGeneration.from_pretrained(
        out, dtype=torch.float16, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in moved.items())
    assert state["proj_out.weight"].data_ptr() == state["model.decoder.embed_tokens.weight"].data_ptr()


@pytest.mark.parametrize(("key", "value"), [("recipe", None), ("inputs", None), ("inputs", [{"path": "a"}])])
def test_a_damaged_record_is_said(models, tmp_path, key, value):
    t, r, s = models
    out = apply(t, r - s, 0.3, tmp_path / "out")
    record = json.loads((out / "merge.json").read_text())
    (out / "merge.json").write_text(json.dumps(record | {key: value}))
    with pytest.raises(UserError, match=r"merge.json: its recipe or its inputs are missing or damaged"):
        check(out)
