"""`syn2real merge`, `methods` and `search` on real weights."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.merge import Checkpoint
from tests.cli.test_cli import refused, syn2real
from tests.merge.mergekit_cases import write_models

transformers = pytest.importorskip("transformers")


def moved(model: Path, to: Path, seed: int) -> Path:
    """The same model with weights a little off, as after a short fine-tuning."""
    to.mkdir()
    for file in model.iterdir():
        if file.suffix == ".json":
            (to / file.name).write_bytes(file.read_bytes())
    generator = torch.Generator().manual_seed(seed)
    weights = load_file(model / "model.safetensors")
    for name, tensor in weights.items():
        weights[name] = tensor + (torch.randn(tensor.shape, generator=generator) * 1e-4).to(tensor.dtype)
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


@pytest.fixture(scope="module")
def whispers(tiny_en, tmp_path_factory) -> Path:
    """tiny.en as T, and two models near it as R and S."""
    root = tmp_path_factory.mktemp("whispers")
    (root / "T").symlink_to(tiny_en)
    for seed, name in enumerate("RS"):
        moved(tiny_en, root / name, seed)
    return root


def test_an_expression_gives_a_whisper_that_hears(whispers, recordings):
    names = [argument for name in "TRS" for argument in ("-m", f"{name}={whispers / name}")]
    out = whispers / "adapted"
    arguments = ["merge", "-e", "T + 0.7*(R - S)", *names, "-o", out]
    planned = json.loads(syn2real(*arguments, "--dry-run", "--json").stdout)
    assert planned["tensors"] == 167 and len(planned["inputs"]) == 3 and not out.exists()
    assert planned["bytes_out"] < planned["bytes_in"] and planned["peak_memory"] > 0
    answer = json.loads(syn2real(*arguments, "--verify", "--json").stdout)
    assert answer["verified"] and answer["bytes"] == planned["bytes_out"]
    few = recordings.with_name("few.jsonl")
    few.write_text("".join(recordings.read_text().splitlines(keepends=True)[:4]))
    heard = json.loads(syn2real("evaluate", few, "-m", out, "--json").stdout)
    untouched = json.loads(syn2real("evaluate", few, "-m", whispers / "T", "--json").stdout)
    assert abs(heard["wer"] - untouched["wer"]) < 0.1
    assert "confirmed" in syn2real("merge", "--check", out).stdout
    if find_spec("ctranslate2"):
        converted = whispers / "converted"
        syn2real(*arguments, "--overwrite", "--ctranslate2", converted, "--quantization", "float16")
        back, merged = Checkpoint.open(converted), Checkpoint.open(out)
        assert set(back) == set(merged)
        name = "model.encoder.layers.2.fc1.weight"
        assert torch.equal(back.read(name), merged.read(name).to(torch.float16))
    weights = load_file(out / "model.safetensors")
    name = next(iter(weights))
    weights[name].view(-1)[0] += 1
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    assert f"1 of 167 tensors are not what its recipe gives, {name} first" in refused("merge", "--check", out)


def test_a_recipe_by_method_with_values_for_groups(whispers):
    (whispers / "ties.yaml").write_text(
        """
        method: ties
        base: T
        models:
          - {model: R, weight: {encoder: 0.3, "*": 1.0}, density: [0.2, 0.6]}
          - S
        parameters: {scale: 0.5}
        out_dtype: float16
        """
    )
    out = whispers / "ties"
    syn2real("merge", whispers / "ties.yaml", "-o", out, "--set", "parameters.scale=0.4", "--threads", 1)
    model = transformers.WhisperForConditionalGeneration.from_pretrained(out, dtype=torch.float16)
    assert model.model.encoder.conv1.weight.dtype == torch.float16
    record = json.loads((out / "merge.json").read_text())
    assert (
        record["recipe"]["parameters"] == {"scale": 0.4}
        and (out / record["recipe"]["base"]).resolve() == (whispers / "T").resolve()
    )
    syn2real("merge", "--check", out)


def test_a_file_of_several_merges(tmp_path):
    write_models(tmp_path)
    (tmp_path / "several.yaml").write_text(
        "name: both\nmethod: linear\nmodels: [a, b]\n---\nmethod: slerp\nbase: both\nmodels: [c]\n"
    )
    arguments = ["merge", tmp_path / "several.yaml", "-o", tmp_path / "out"]
    first, then = json.loads(syn2real(*arguments, "--dry-run", "--json").stdout)["merges"]
    assert first["tensors"] == 39 and then == {"output": str(tmp_path / "out"), "after": ["both"]}
    assert "once there is both" in syn2real(*arguments, "--dry-run").stdout
    assert not list(tmp_path.glob("out*"))
    done = json.loads(syn2real(*arguments, "--json").stdout)
    assert done["stages"] == [str(tmp_path / "out-stages" / "both")]
    for directory in (tmp_path / "out", tmp_path / "out-stages" / "both"):
        syn2real("merge", "--check", directory)
    shutil.rmtree(tmp_path / "out-stages")
    assert "already exists" in refused(*arguments)
    assert not (tmp_path / "out-stages").exists()


def test_seeds_of_recipes_in_mergekits_dialect(tmp_path):
    write_models(tmp_path)
    (tmp_path / "dare.yml").write_text(
        "merge_method: dare_linear\nbase_model: base\nmodels: [{model: a, parameters: {weight: 1, density: 0.5}}]\n"
    )
    for name, seed in (("zero", 0), ("default", None), ("one", 1)):
        syn2real("merge", tmp_path / "dare.yml", "-o", tmp_path / name, *(["--seed", seed] if seed is not None else []))
    zero, default, one = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("zero", "default", "one"))
    assert zero == default != one
    syn2real("merge", "--check", tmp_path / "one")


def test_what_cannot_be_merged_is_said(tmp_path):
    write_models(tmp_path)
    (tmp_path / "r.yml").write_text("method: linear\nmodels: [a, bb, cc]\n")
    refused("merge", tmp_path / "r.yml", "-o", tmp_path / "out")
    said = syn2real("merge", tmp_path / "r.yml", "-o", tmp_path / "out", check=False).stderr
    assert "2 models cannot be read" in said and "bb: no such file" in said and "cc: no such file" in said
    (tmp_path / "sum.yml").write_text("method: linear\nmodels: [{model: a, weight: 1}, {model: b, weight: -1}]\n")
    assert "tensors more): the weights sum to 0" in refused("merge", tmp_path / "sum.yml", "-o", tmp_path / "out")
    alone = refused("merge", tmp_path / "sum.yml", "-o", tmp_path / "out", "--quantization", "int8")
    assert "--quantization: is of --ctranslate2" in alone
    assert "write a size, for instance 5GB" in refused("merge", tmp_path / "r.yml", "-o", "out", "--shard-size", "5B")
    (tmp_path / "moe.yml").write_text("base_model: a\ngate_mode: hidden\nexperts: []\n")
    assert "moe.yml:3: a recipe of mergekit-moe" in refused("merge", tmp_path / "moe.yml", "-o", tmp_path / "out")


def test_methods_are_listed_and_explained():
    listed = json.loads(syn2real("methods", "--json").stdout)
    assert {"linear", "slerp", "ties", "dare_ties", "della", "model_stock", "mergealign"} <= {m["name"] for m in listed}
    assert all(m["doc"] for m in listed)
    assert "Yadav" in syn2real("methods", "ties").stdout


def test_a_search_by_command(whispers):
    pytest.importorskip("optuna")
    (whispers / "prepost.yaml").write_text("method: prepost\nbase: T\nmodels: [R]\nparameters: {scale: 0.5}\n")
    score = """python -c "import json,sys; print(abs(json.load(open(sys.argv[1] + '/merge.json'))"""
    score += """['recipe']['parameters']['scale'] - 0.4))" {model}"""
    done = syn2real(
        "search", whispers / "prepost.yaml", "-r", "parameters.scale=0:1:6", "--sampler", "grid",
        "-s", score, "-o", whispers / "best", "--json",
    )  # fmt: skip
    trials = json.loads(done.stdout)
    assert len(trials) == 6 and min(trials, key=lambda t: t["score"])["values"]["parameters.scale"] == 0.4
    assert json.loads((whispers / "best/model/merge.json").read_text())["recipe"]["parameters"]["scale"] == 0.4


def test_a_conversion_that_cannot_be_is_refused_before_the_merge(whispers, tmp_path):
    pytest.importorskip("ctranslate2")
    names = [argument for name in "TR" for argument in ("-m", f"{name}={whispers / name}")]
    arguments = ["merge", "-e", "0.5 * T + 0.5 * R", *names, "-o", tmp_path / "out", "--overwrite"]
    weights = whispers / "R" / "model.safetensors"
    before = weights.stat().st_mtime_ns, weights.read_bytes()
    assert "did you mean 'int8'" in refused(*arguments, "--ctranslate2", tmp_path / "c", "--quantization", "int9")
    assert "an input of the merge" in refused(*arguments, "--ctranslate2", whispers / "R")
    assert "holds the merged model" in refused(*arguments, "--ctranslate2", tmp_path / "out")
    assert not (tmp_path / "out").exists() and (weights.stat().st_mtime_ns, weights.read_bytes()) == before


def test_bad_input_is_one_line(whispers, tmp_path):
    recipe = tmp_path / "bad.yaml"
    for text, part in (
        ("method: tyes\nbase: T\nmodels: [R]\n", "did you mean 'ties'"),
        ("method: ties\nmodels: [R]\n", "name one with 'base'"),
        ("method: ties\nbase: T\nmodels: [{model: R, densty: 1}]\n", "did you mean 'density'"),
        ("method: ties\nbase: T\nmodles: [R]\n", "bad.yaml:3: unknown key 'modles' (did you mean 'models'?)"),
        ("method: ties\nbase: T\nmodels: [Q]\n", "Q: no such file"),
        ("expression: T * R\nmodels: {T: T, R: R}\n", "multiplies two models"),
        ("expression: T + X\nmodels: {T: T, R: R}\n", "unknown name 'X'"),
        ("method: slerp\nmodels: [T, R, S]\n", "slerp takes 2 models, not 3"),
    ):
        (whispers / "bad.yaml").write_text(text)
        assert part in refused("merge", whispers / "bad.yaml", "-o", tmp_path / "out"), text
    assert "either a recipe or --expression" in refused("merge", "-o", tmp_path / "out")
    assert "--output" in refused("merge", recipe)
    assert "not available here" in refused("merge", whispers / "bad.yaml", "-o", tmp_path / "o", "--device", "tpu")
    assert not (tmp_path / "out").exists()


def test_what_a_hostile_file_says_does_not_steer_the_terminal(tmp_path):
    recipe = tmp_path / "r.yml"
    recipe.write_text('method: linear\nmodels: ["a\\e[31mb"]\n')
    said = syn2real("merge", recipe, "-o", tmp_path / "out", check=False).stderr
    assert "a�[31mb: no such file" in said and "\x1b" not in said
