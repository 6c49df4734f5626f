"""`syn2real vector`, as a person would type it."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.cli.main import main

NAMES = {
    "model.embed_tokens.weight": (40, 12),
    **{f"model.layers.{i}.self_attn.q_proj.weight": (24, 12) for i in range(2)},
    **{f"model.layers.{i}.input_layernorm.weight": (12,) for i in range(2)},
    "lm_head.weight": (40, 12),
}


class Done(NamedTuple):
    stdout: str
    stderr: str
    returncode: int


def syn2real(*arguments, check=True):
    """The command line in this process: importing torch anew takes longer than any of the commands."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    command = ["syn2real", "vector", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        patch.setenv("COLUMNS", "160")
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
    assert not check or code == 0, err.getvalue()
    return Done(out.getvalue(), err.getvalue(), code)


def refused(*arguments):
    done = syn2real(*arguments, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(errors) == 1, done.stderr
    return errors[0]


def answer(*arguments):
    return json.loads(syn2real(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "real", "synthetic", "menu")):
        generator = torch.Generator().manual_seed(seed)
        (folder / name).mkdir()
        weights = {n: torch.randn(shape, generator=generator) for n, shape in NAMES.items()}
        save_file(weights, folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text(json.dumps({"tie_word_embeddings": False}))
    syn2real("make", folder / "real", folder / "synthetic", "-o", folder / "tau.safetensors")
    syn2real("make", folder / "menu", folder / "synthetic", "-o", folder / "other.safetensors")
    return folder


@pytest.mark.parametrize(
    "command", ["make", "apply", "info", "compare", "mean", "compress", "extract-lora", "push", "pull"]
)
def test_every_help_has_examples(command):
    shown = syn2real(command, "--help").stdout
    assert "Example" in shown and f"syn2real vector {command}" in shown


def test_make_and_info(models, tmp_path):
    record = answer("make", models / "real", models / "base", "-o", tmp_path / "t", "--dtype", "bfloat16")
    assert record["dtype"] == "bfloat16" and record == answer("info", tmp_path / "t")
    assert [parent["coefficient"] for parent in record["parents"]] == [1.0, -1.0]
    shown = syn2real("info", tmp_path / "t").stdout
    assert "+1 × real" in shown and "−1 × base" in shown and "model.layers.0" in shown
    assert "already exists" in refused("make", models / "real", models / "base", "-o", tmp_path / "t")
    assert "did you mean 'float16'" in refused(
        "make", models / "real", models / "base", "-o", "x", "--dtype", "flaot16"
    )
    assert "a task vector where a model is needed" in refused(
        "make", models / "tau.safetensors", models / "base", "-o", "x"
    )


def test_apply_several(models, tmp_path):
    tau, other = models / "tau.safetensors", models / "other.safetensors"
    made = answer("apply", models / "base", f"{tau}=0.7", f"{other}=-0.25", "-o", tmp_path / "out", "--threads", 1)
    assert [entry["lambda"] for entry in made["vectors"]] == [0.7, -0.25] and made["lambda"] is None
    weights = {n: load_file(models / n / "model.safetensors") for n in ("base", "real", "synthetic", "menu")}
    written = load_file(tmp_path / "out" / "model.safetensors")
    for name in NAMES:
        b, r, s, m = (weights[n][name].double() for n in ("base", "real", "synthetic", "menu"))
        assert torch.allclose(written[name].double(), b + 0.7 * (r - s) - 0.25 * (m - s), rtol=1e-5, atol=1e-6)
    record = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert record["recipe"]["expression"] == "model + 0.7 * tau1 - 0.25 * tau2"
    assert len(record["inputs"]) == 3 and str(tmp_path) not in json.dumps(record)


def test_apply_one(models, tmp_path):
    tau = models / "tau.safetensors"
    done = syn2real("apply", models / "base", tau, "--lambda", 0.5, "-o", tmp_path / "out", "--out-dtype", "float16")
    assert "base + 0.5 × tau.safetensors" in done.stdout
    assert {value.dtype for value in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.float16}
    assert "already exists" in refused("apply", models / "base", tau, "-o", tmp_path / "out")
    assert "for instance" in refused("apply", models / "base", f"{tau}=much", "-o", tmp_path / "x")
    assert "not a finite number" in refused("apply", models / "base", f"{tau}=inf", "-o", tmp_path / "x")
    assert "not a task vector" in refused("apply", models / "base", models / "base" / "model.safetensors", "-o", "x")
    assert "no such file" in refused("apply", models / "base", "absent.safetensors", "-o", tmp_path / "x")
    assert "nor a hub id" in refused("apply", models / "absent", tau, "-o", tmp_path / "x")


def test_compare(models, tmp_path):
    items = [models / "tau.safetensors", models / "other.safetensors"]
    found = answer("compare", *items)
    assert found["names"] == ["tau", "other"] and 0 < found["cosine"][0][1] < 1 and found["subspaces"]["k"] == 8
    done = syn2real("compare", *items, "--png", tmp_path / "heat.png", "--subspace", 4)
    assert "tau · other" in done.stdout and "by chance" in done.stdout and "model.layers.1" in done.stdout
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    assert "already exists" in refused("compare", *items, "--png", tmp_path / "heat.png")
    whole = answer("compare", models / "real", models / "menu", "--base", models / "synthetic", "--subspace", 0)
    assert abs(whole["cosine"][0][1] - found["cosine"][0][1]) < 1e-6 and whole["subspaces"] is None
    assert "say with --base" in refused("compare", items[0], models / "real")
    assert "given twice" in refused("compare", items[0], items[0])
    assert "at least two" in refused("compare", items[0])


def test_markup_in_names_is_printed_as_it_is(models, tmp_path):
    copy = tmp_path / "[bold]odd[red].safetensors"
    copy.write_bytes((models / "other.safetensors").read_bytes())
    assert "[bold]odd[red]" in syn2real("compare", models / "tau.safetensors", copy).stdout
    doubled = tmp_path / "m.safetensors"
    assert "[bold]odd[red].safetensors" in syn2real("mean", copy, models / "tau.safetensors", "-o", doubled).stdout


def test_mean(models, tmp_path):
    tau, other = models / "tau.safetensors", models / "other.safetensors"
    answer("mean", f"{tau}=3", other, "-o", tmp_path / "m")
    written, a, b = (load_file(path) for path in (tmp_path / "m", tau, other))
    assert all(torch.allclose(written[n], 0.75 * a[n] + 0.25 * b[n], rtol=1e-6, atol=1e-6) for n in NAMES)
    assert "add up to 0" in refused("mean", f"{tau}=1", f"{other}=-1", "-o", tmp_path / "x")


@pytest.mark.parametrize("method", ["sparse", "int8", "lowrank"])
def test_compress(models, tmp_path, method):
    tau, small = models / "tau.safetensors", tmp_path / "small.safetensors"
    report = answer("compress", tau, "-o", small, "--method", method, "--rank", 4)
    assert report["method"] == method and 0 < report["relative_error"] < 1 and report["ratio"] > 1
    shown = syn2real("info", small).stdout
    assert "compression" in shown and "relative_error" in shown
    syn2real("apply", models / "base", small, "-o", tmp_path / "out")
    assert "unknown" in refused("compress", tau, "-o", tmp_path / "x", "--method", "zip")


def test_extract_lora(models, tmp_path):
    tau = models / "tau.safetensors"
    report = answer("extract-lora", tau, "--rank", 12, "--base", models / "synthetic", "-o", tmp_path / "lora")
    assert report["relative_error"] < 1e-5 and len(report["modules"]) == 4
    answer("make", f"{models / 'synthetic'}+{tmp_path / 'lora'}", models / "synthetic", "-o", tmp_path / "back")
    assert answer("compare", tau, tmp_path / "back", "--subspace", 0)["cosine"][0][1] > 1 - 1e-9
    done = syn2real("extract-lora", tau, "--energy", 0.5, "--no-rest", "-b", models / "base", "-o", tmp_path / "small")
    assert "relative error 0.6" in done.stdout and "left out: " in done.stderr
    assert ("would add their part twice" in done.stderr) == report["tied"]
    assert "BASE+" in refused("make", tmp_path / "lora", models / "base", "-o", tmp_path / "x")
