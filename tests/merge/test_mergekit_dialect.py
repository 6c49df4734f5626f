"""mergekit's recipes: the same tensors as mergekit's own, and errors that name file and line."""

import json
from pathlib import Path

import pytest
import torch

from syn2real.errors import UserError
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.output import write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import MergeRecipe, load_recipe
from tests.merge.mergekit_cases import CASES, probe, write_models

FROZEN = json.loads((Path(__file__).parent / "mergekit_frozen.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


def loaded(folder: Path, text: str) -> MergeRecipe:
    file = folder / "recipe.yml"
    file.write_text(text)
    return load_recipe(file)


def merged(folder: Path, text: str, name: str) -> Checkpoint:
    return Checkpoint.open(write(plan_recipe(loaded(folder, text)), folder / "merged" / name, threads=1))


@pytest.mark.parametrize("case", CASES)
def test_tensors_are_mergekits(folder: Path, case: str) -> None:
    result = merged(folder, CASES[case], case)
    found = [probe(result.read(name)) for name in sorted(result)]
    assert found == pytest.approx(FROZEN[case], abs=3e-6, rel=3e-6)


def test_dropping_keeps_the_l1_norm_as_in_mergekit(folder: Path) -> None:
    base, tuned = Checkpoint.open(folder / "base"), Checkpoint.open(folder / "a")
    for method in ("dare_linear", "della_linear"):
        text = f"""
merge_method: {method}
base_model: base
dtype: float32
models:
  - model: a
    parameters: {{weight: 1.0, density: 0.5}}
"""
        result = merged(folder, text, method + "_half")
        shares = []
        for name in base:
            before, after = (model.read(name) - base.read(name) for model in (tuned, result))
            assert float(after.abs().sum()) == pytest.approx(float(before.abs().sum()), rel=1e-4)
            shares.append(float((after != 0).float().mean()))
        assert 0.4 < sum(shares) / len(shares) < 0.6


def test_dtype_alone_is_the_results(folder: Path) -> None:
    text = "merge_method: linear\ndtype: bfloat16\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\n"
    result = merged(folder, text, "short")
    assert {info.dtype for info in result.infos.values()} == {torch.bfloat16}
    for name in result:
        mean = (Checkpoint.open(folder / "a").read(name).double() + Checkpoint.open(folder / "b").read(name)) / 2
        assert torch.equal(result.read(name), mean.float().bfloat16())


def test_out_dtype_goes_before_dtype(folder: Path) -> None:
    text = "merge_method: linear\ndtype: float32\nout_dtype: float16\nmodels: [{model: a}]\nparameters: {weight: 1}\n"
    assert loaded(folder, text).out_dtype == "float16"


def test_what_has_no_effect_is_said(folder: Path) -> None:
    text = "merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b, parameters: {t: 1, density: 1}}]\n"
    notes = loaded(folder, text + "parameters: {t: 0.5, int8_mask: true}\n").notes
    assert notes == [
        "int8_mask has no effect on slerp",
        "t of a single model has no effect on slerp",
        "density has no effect on slerp",
    ]


RULE = "merge_method: linear\nmodels: [{{model: a}}]\ntokenizer:\n  tokens:\n    <x>:\n      source: {source}\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("merge_method: lineer\nmodels: [{model: a}]\n", 1, "did you mean 'linear'"),
        ("merge_method: linear\nmodels:\n  - model: a\n    parameters: {wieght: 1}\n", 4, "did you mean 'weight'"),
        ("merge_method: linear\nmodels:\n  - model: a\n    wieght: 1\n", 4, "wieght"),
        ("merge_method: linear\nmodules: {}\n", 2, "modules: write either 'models' or 'slices'"),
        ("merge_method: linear\nmodules:\n  default: {}\n", 3, "default: write either 'models' or 'slices'"),
        ("merge_method: linear\nmodules:\n  default: {model: a}\n", 3, "unknown key 'modules.default.model'"),
        (
            "merge_method: linear\nmodules:\n  default: {models: [{model: a}]}\n  tower: {models: [{model: a}]}\n",
            4,
            "modules: 'tower': not supported, as only mergekit's tables say which tensors that is; write 'models'",
        ),
        ("merge_method: linear\nmodules: {default: {models: [{model: a}]}}\nmodels: [{model: a}]\n", 3, "without 'mod"),
        ("merge_method: linear\nmodules:\n  default:\n    models:\n    - {model: {lora: x}}\n", 5, "lora: only a path"),
        ("merge_method: linear\nmodels: [{model: a}]\ndtype: int4\n", 3, "choose from float32"),
        ("merge_method: linear\nbase_model: c\nmodels:\n  - model: a\n    parameters: {weight: 1}\n", 2, "averages"),
        ("merge_method: ties\nbase_model: c\nmodels: [{model: a}]\nparameters:\n  rescale: true\n", 5, "rescale"),
        ("merge_method: model_stock\nparameters:\n  filter_wize: true\nmodels: [{model: a}]\n", 3, "'filter_wise'"),
        ("merge_method: linear\nmodels: [{model: {path: a, revision: x}}]\n", 2, "revision: only a path"),
        (
            "merge_method: linear\nmodels: [{model: a}]\ntokenizer: {source: union, token: {}}\n",
            3,
            "unknown key 'tokenizer.token' (did you mean 'tokens'?)",
        ),
        (RULE.format(source="{kind: zeros}"), 6, "'zero'"),
        (RULE.format(source="{kind: zero, model: a}"), 6, "kind: zero alone"),
        (RULE.format(source="{kind: model_token, model: a}"), 6, "'token' or 'token_id'"),
        ("merge_method: linear\nmodels:\n  - model: a\n    parameters:\n      weight: [{fliter: a}]\n", 5, "'filter'"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'recipe.yml'}:{line}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_module_default_is_the_whole_model(folder: Path) -> None:
    models = "models: [{model: a}, {model: b, parameters: {density: 0.5}}]"
    part = "{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2], parameters: {weight: 0.3}}"
    slices = f"slices: [{{sources: [{part}], parameters: {{weight: 0.7}}}}]"
    for body in (models, slices):
        head = "merge_method: ties\nbase_model: c\nparameters: {weight: 0.5}\n"
        assert loaded(folder, f"{head}modules: {{default: {{{body}}}}}\n") == loaded(folder, f"{head}{body}\n")


def test_a_modules_parameters_go_before_the_recipes(folder: Path) -> None:
    head = "merge_method: ties\nbase_model: c\nparameters: {weight: 0.5, density: [0.2, 0.4], lambda: 2}\n"
    own = "{weight: 0.7, density: [{filter: mlp, value: 1}]}"
    found = loaded(folder, f"{head}modules: {{default: {{models: [{{model: a}}, {{model: b}}], parameters: {own}}}}}\n")
    plain = loaded(folder, f"{head}models: [{{model: a}}, {{model: b}}]\n")
    assert found.parameters == plain.parameters | {
        "weight": 0.7,
        "density": [{"filter": "/mlp/", "value": 1}, *plain.parameters["density"]],
    }
    own = "{weight: [{filter: mlp, value: 1}]}"
    found = loaded(folder, f"{head}modules: {{default: {{models: [{{model: a}}], parameters: {own}}}}}\n")
    assert found.parameters["weight"] == [{"filter": "/mlp/", "value": 1}, {"value": 0.5}]


def test_a_chat_template_is_passed_on(folder: Path) -> None:
    text = "merge_method: linear\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\n"
    assert loaded(folder, text).chat_template is None
    assert loaded(folder, text + "chat_template: auto\n").chat_template == "auto"


def test_tokenizer_source_is_the_vocabulary(folder: Path) -> None:
    text = "merge_method: linear\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\n"
    assert loaded(folder, text).vocabulary == "same"
    assert loaded(folder, text + "tokenizer_source: union\n").vocabulary == "union"
    assert loaded(folder, text + "tokenizer: {source: base}\n").vocabulary == "base"
    assert loaded(folder, text + "tokenizer: {pad_to_multiple_of: 64}\n").vocabulary == "union"
    assert loaded(folder, text + "tokenizer: {pad_to_multiple_of: 64}\n").pad_to_multiple_of == 64
    ruled = loaded(folder, text + "tokenizer: {tokens: {<x>: {source: b, force: true}}}\n").tokens["<x>"]
    assert ruled.force and ruled.source.model == str(folder / "b")
    chosen = loaded(folder, text + "tokenizer_source: model:b\n")  # the tokenizer alone
    assert (chosen.vocabulary, chosen.tokenizer, chosen.anchor) == ("base", str(folder / "b"), None)
    assert loaded(folder, text + "tokenizer_source: a\n").tokenizer is None  # the anchor's
    nested = "tokenizer: {tokens: {<x>: {source: {model: {model: {path: b}}}}}}\n"
    assert loaded(folder, text + nested).tokens["<x>"].source.model == str(folder / "b")
    with pytest.raises(UserError, match=r":4: tokenizer_source: write it or tokenizer, not both"):
        loaded(folder, text + "tokenizer_source: a\ntokenizer: {source: base}\n")


def test_numbers_and_switches_as_mergekit_reads_them(folder: Path) -> None:
    text = "merge_method: ties\nbase_model: base\nmodels: [{model: a, parameters: {weight: 1e-1}}, {model: b}]\n"
    text += "parameters: {weight: '0.5', density: [{filter: mlp, value: 5e-1}, {value: 1}], normalize: %s}\n"
    found = loaded(folder, text % "[{filter: mlp, value: 0}, {value: 'true'}]")
    assert found.models[0].parameters["weight"] == 0.1
    assert found.parameters["weight"] == 0.5
    values = {name: [each["value"] for each in found.parameters[name]] for name in ("density", "normalize")}
    assert values == {"density": [0.5, 1, 1], "normalize": [False, True, True]}  # the last is the default
    assert loaded(folder, text % "0").parameters["normalize"] is False
