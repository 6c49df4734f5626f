"""Recipes: what is accepted, what is refused with file and line, and whose paths are meant."""

from pathlib import Path
from typing import Any

import pytest

from syn2real.errors import UserError
from syn2real.merge.recipe import MergeRecipe, load_recipe, parse_recipe


def written(folder: Path, text: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return file


def test_a_model_may_be_written_in_three_ways() -> None:
    recipe = parse_recipe(
        method="linear",
        models=["a", {"model": "b", "weight": 2}, {"model": "c", "parameters": {"weight": 3}, "density": 1}],
    )
    assert isinstance(recipe.models, list)
    assert [entry.model for entry in recipe.models] == ["a", "b", "c"]
    assert [entry.parameters for entry in recipe.models] == [{}, {"weight": 2}, {"weight": 3, "density": 1}]


def test_lambda_is_scale_wherever_it_stands() -> None:
    source = {"model": "a", "layer_range": [0, 1], "lambda": 1}
    recipe = parse_recipe(
        method="passthrough",
        parameters={"lambda": 0.5},
        slices=[{"sources": [source], "parameters": {"lambda": 2}}],
    )
    assert recipe.slices is not None
    part = recipe.slices[0]
    assert (recipe.parameters, part.parameters, part.sources[0].parameters) == (
        {"scale": 0.5},
        {"scale": 2},
        {"scale": 1},
    )
    with pytest.raises(UserError, match="same parameter"):
        parse_recipe(method="linear", models=["a"], parameters={"lambda": 1, "scale": 1})


def test_the_record_of_a_recipe_is_the_recipe() -> None:
    recipe = parse_recipe(
        method="ties", base="z", models=[{"model": "a", "lambda": 2}], parameters={"density": [0, 1]}, notes=["n"]
    )
    assert MergeRecipe.model_validate(recipe.model_dump(mode="json", exclude_defaults=True)) == recipe


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"models": ["a"]}, "either 'expression' or 'method'"),
        ({"expression": "T", "method": "linear", "models": {"T": "a"}}, "either 'expression' or 'method'"),
        ({"expression": "T", "models": ["a"]}, "an expression needs names"),
        ({"expression": "T", "models": {"T": "a"}, "base": "b"}, "base: not used with an expression"),
        ({"method": "linear", "models": {"T": "a"}}, "a method needs a list"),
        ({"method": "linear"}, "either 'models' or 'slices'"),
        ({"method": "linear", "models": ["a"], "slices": []}, None),
        ({"method": "linear", "models": ["a"], "wieght": 1}, "unknown key 'wieght'"),
        ({"method": "linear", "models": ["a"], "out_dtype": "int8"}, "out_dtype"),
        ({"method": "linear", "models": ["a"], "vocabulary": "all"}, "vocabulary"),
        ({"method": "linear", "models": ["a"], "seed": "x"}, "seed"),
        ({"method": "linear", "slices": [{"sources": []}]}, "sources"),
    ],
)
def test_shapes(values: dict[str, Any], words: str | None) -> None:
    if words is None:
        parse_recipe(**values)
        return
    with pytest.raises(UserError, match=words) as caught:
        parse_recipe(**values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [([[2, 1]], "one past the last"), ([[-1, 1]], "one past the last"), ([[0, 2], [0, 3]], "equally many")],
)
def test_layer_ranges(ranges: list[list[int]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_recipe(method="linear", slices=[{"sources": [{"model": "a", "layer_range": r} for r in ranges]}])


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    file = written(tmp_path, "method: linear\nmodels:\n  - model: a\nout_dtype: int8\n")
    with pytest.raises(UserError) as caught:
        load_recipe(file)
    assert str(caught.value).startswith(f"{file}:4: ")


def test_every_mistake_of_a_recipe_is_named_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "method: ties\nbase: [1]\nmodels: [a]\nsead: 1\nout_dtype: float3\nparamters: {}\n")
    with pytest.raises(UserError) as found:
        load_recipe(file)
    heading, *said = str(found.value).splitlines()
    assert heading == f"4 problems in {file}:"
    assert [line.split(":")[1:3] for line in said] == [
        ["2", " base"],
        ["4", " unknown key 'sead' (did you mean 'seed'?)"],
        ["5", " out_dtype"],
        ["6", " unknown key 'paramters' (did you mean 'parameters'?)"],
    ]
    file = written(tmp_path, "method: ties\nmodel: [a]\n")  # which leaves none of models
    with pytest.raises(UserError, match=r"^[^\n]*:2: unknown key 'model' \(did you mean 'models'\?\)$"):
        load_recipe(file)


def test_paths_beside_the_recipe_are_found(tmp_path: Path) -> None:
    for name in ("a", "b", "t"):
        (tmp_path / name).mkdir()
    file = written(tmp_path, "method: linear\nmodels: [a, elsewhere]\nanchor: b\ntemplate: t\n")
    recipe = load_recipe(file)
    assert recipe.paths == [str(tmp_path / "a"), "elsewhere", str(tmp_path / "b")]
    assert recipe.template == str(tmp_path / "t")


def test_names_of_an_expression_are_no_paths(tmp_path: Path) -> None:
    (tmp_path / "T").mkdir()
    (tmp_path / "R").mkdir()
    recipe = load_recipe(written(tmp_path, "expression: T\nmodels: {T: R}\nanchor: T\n"))
    assert (recipe.models, recipe.anchor) == ({"T": str(tmp_path / "R")}, "T")


def test_overrides_go_before_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "method: ties\nbase: z\nmodels: [a]\nparameters: {density: 0.5}\n")
    recipe = load_recipe(file, {"parameters.density": "[0.1, 0.9]", "seed": "7"})
    assert (recipe.parameters, recipe.seed) == ({"density": [0.1, 0.9]}, 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("method: linear\nmodels: [{model: a, weight: .inf}, {model: b}]", r"models.0.parameters.weight: inf is not"),
        ("method: linear\nmodels: [a, b]\nparameters: {weight: [1, .nan]}", r"parameters.weight.1: nan is not"),
        ("expression: l*A\nmodels: {A: a}\nparameters: {l: -.inf}", r"parameters.l: -inf is not a finite number"),
        ("method: linear\nmodels: [{model: a, parameters: [1]}, b]", r"parameters: write names and values"),
    ],
)
def test_numbers_that_are_none_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_recipe(written(tmp_path, text))
