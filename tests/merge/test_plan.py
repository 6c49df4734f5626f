"""Plans: what each tensor is made of, what is noted and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from syn2real.errors import UserError
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.output import write
from syn2real.merge.pieces import Carried, Computed, Sum
from syn2real.merge.plan import Plan, plan_recipe
from syn2real.merge.recipe import parse_recipe
from syn2real.merge.verification import check
from tests.merge.conftest import SHAPES, Make, tensors
from tests.merge.llamas import llama, save

COUNTER = {"model.count": torch.tensor([3])}


def plan(**recipe: Any) -> Plan:
    return plan_recipe(parse_recipe(**recipe))


def read(output: Path) -> dict[str, torch.Tensor]:
    found = Checkpoint.open(output)
    return {name: found.read(name) for name in found}


def test_kinds_of_pieces(make: Make) -> None:
    a, b = (str(make(name, seed, change=COUNTER)) for seed, name in enumerate("ab"))
    found = plan(method="linear", models=[a, b])
    assert {type(piece) for name, piece in found.pieces.items() if name in SHAPES} == {Computed}
    assert type(found.pieces["model.count"]) is Carried
    found = plan(expression="A + B", models={"A": a, "B": b})
    assert {type(piece) for name, piece in found.pieces.items() if name in SHAPES} == {Sum}
    assert found.bytes_in == 2 * found.bytes_out > 0
    assert 0 < found.peak_memory(1) < found.peak_memory(2)


def test_parameters_of_models_slices_and_groups_meet_in_the_tensor(make: Make) -> None:
    a, b, z = (str(make(name, seed)) for seed, name in enumerate("abz"))
    models = [{"model": a, "weight": {"/layers/": [1, 2]}}, {"model": b, "density": 0.25}]
    found = plan(method="dare_linear", base=z, models=models, parameters={"weight": 3, "density": 0.5, "lambda": 2})
    given = {name: piece.parameters for name, piece in found.pieces.items() if isinstance(piece, Computed)}
    assert given["model.layers.0.fc1.weight"]["weight"] == [1, 3]
    assert given["model.layers.1.fc1.bias"]["weight"] == [2, 3]
    assert given["model.embed_tokens.weight"]["weight"] == [3, 3]
    assert {tuple(values["density"]) for values in given.values()} == {(0.5, 0.25)}
    assert {values["scale"] for values in given.values()} == {2}


def test_lambda_scales_task_vectors(make: Make, tmp_path: Path) -> None:
    a, z = str(make("a", 1)), str(make("z", 0))
    out = read(write(plan(method="task_arithmetic", base=z, models=[a], parameters={"lambda": 0.5}), tmp_path / "x"))
    same = read(
        write(plan(expression="z + lambda*(a-z)", models={"a": a, "z": z}, parameters={"lambda": 0.5}), tmp_path / "y")
    )
    for name in SHAPES:
        assert torch.allclose(out[name], (tensors(0)[name] + tensors(1)[name]) / 2)
        assert torch.allclose(same[name], out[name])


def test_coefficients_of_an_expression_vary_over_the_model(make: Make, tmp_path: Path) -> None:
    t, r, s = (str(make(name, seed)) for seed, name in enumerate("trs"))
    found = plan(
        expression="T + scale * (R - S)",
        models={"T": t, "R": r, "S": s},
        parameters={"scale": {"embeddings": 0, "layers": [0.5, 1], "decoder": 9, "*": 0.25}},
    )
    assert found.notes == ["filter 'decoder' matches no tensor"]
    out = read(write(found, tmp_path / "out"))
    scales = {"model.embed_tokens.weight": 0.0, "model.scale": 0.25} | {
        f"model.layers.{i}.fc1.{leaf}": 0.5 + 0.5 * i for i in range(2) for leaf in ("weight", "bias")
    }
    for name, scale in scales.items():
        moved = tensors(0)[name].double() + scale * (tensors(1)[name].double() - tensors(2)[name].double())
        assert torch.equal(out[name], moved.float()), name


def test_notes_of_the_recipe_come_along(make: Make) -> None:
    a = str(make("a"))
    found = plan(method="linear", models=[{"model": a, "weight": {"nowhere": 2, "fc1": 1}}], notes=["hello"])
    assert found.notes == ["hello", "filter 'nowhere' matches no tensor"]


def test_filters_that_take_nothing_are_noted(make: Make) -> None:
    scale = {"*": 1.0, "layers.0": 0.0, "typo": 0.1}
    found = plan(expression="scale * A", models={"A": str(make("a"))}, parameters={"scale": scale})
    assert found.notes == [
        "filter 'typo' matches no tensor",
        "filter 'layers.0' takes no tensor: earlier ones take all that it matches",
    ]


def test_an_anchor_beside_the_models(make: Make, tmp_path: Path) -> None:
    a, b, c = (make(name, seed) for seed, name in enumerate("abc"))
    (c / "config.json").write_text('{"model_type": "other"}')
    found = plan(method="linear", models=[str(a), str(b)], anchor=str(c))
    assert [source.name for source in found.inputs] == ["a", "b", "c"]
    out = write(found, tmp_path / "out")
    assert (out / "config.json").read_text() == '{"model_type": "other"}'
    name = "model.layers.0.fc1.weight"
    assert torch.allclose(read(out)[name], (tensors(0)[name] + tensors(1)[name]) / 2)
    assert check(out).confirmed


def test_an_anchor_need_not_be_in_the_expression(make: Make, tmp_path: Path) -> None:
    a, b = (str(make(name, seed)) for seed, name in enumerate("ab"))
    out = read(write(plan(expression="2*B", models={"A": a, "B": b}, anchor="A"), tmp_path / "out"))
    assert torch.equal(out["model.scale"], 2 * tensors(1)["model.scale"])


def test_integers_are_carried_or_refused(make: Make, tmp_path: Path) -> None:
    a = str(make("a", 0, change=COUNTER))
    b = str(make("b", 1, change={"model.count": torch.tensor([4])}))
    for recipe in ({"method": "linear", "models": [a, b]}, {"expression": "A + B", "models": {"A": a, "B": b}}):
        with pytest.raises(UserError, match=r"model.count, which holds no real numbers, differs between a and b"):
            write(plan(**recipe), tmp_path / "out")
        out = write(plan(**recipe, carried="anchor"), tmp_path / recipe.get("method", "expression"))
        assert read(out)["model.count"].tolist() == [3]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"method": "ties", "models": ["a"]}, "name one with 'base'"),
        ({"method": "tise", "models": ["a"]}, "did you mean 'ties'"),
        ({"method": "slerp", "models": ["a"]}, "slerp takes 2 models, not 1"),
        (
            {"method": "linear", "base": "c", "models": ["a", "b"]},
            "linear has no base; .* list the model under 'models'",
        ),
        ({"method": "passthrough", "base": "b", "models": ["a"]}, "base: passthrough has no base; .* 'anchor'"),
        ({"method": "prepost", "base": "b", "models": ["a", "c"]}, "takes 1 models beside the base, not 2"),
        ({"method": "slerp", "models": ["a", {"model": "b", "t": 1}]}, "t: holds for the whole merge"),
        ({"method": "linear", "models": [{"model": "a", "wieght": 1}]}, "did you mean 'weight'"),
        ({"method": "linear", "models": ["a"], "parameters": {"weight": [0, "x"]}}, "a gradient is a list of numbers"),
        ({"method": "linear", "models": ["a"], "parameters": {"weight": {"/(/": 1}}}, "not a regular expression"),
        ({"method": "linear", "models": ["nowhere"]}, "no such file or directory"),
        ({"expression": "A", "models": {"A": "a"}, "anchor": "B"}, "anchor: 'B' is not one of the models"),
        (
            {"expression": "s*A", "models": {"A": "a"}, "parameters": {"s": {"fc1": 1}}},
            r"s: no value for model.embed_tokens.weight; end its filters with '\*'",
        ),
        ({"expression": "s*A", "models": {"A": "a"}, "parameters": {"s": True}}, "s: True is not a number"),
        (
            {"expression": "A + 1.0*(B - A)", "models": {"A": "a", "B": "b"}, "parameters": {"lambda": 0.5}},
            r"parameters.scale: not in the expression 'A \+ 1.0\*\(B - A\)', which has none; write it there",
        ),
        (
            {"expression": "s*A", "models": {"A": "a"}, "parameters": {"s": 1, "t": 2}},
            "parameters.t: not in the expression .* has s;",
        ),
        (
            {"expression": "A + B", "models": {"A": "a", "B": "b", "C": "c"}},
            "models.C: not in the expression .* has A, B;",
        ),
    ],
)
def test_refusals(make: Make, monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any], words: str) -> None:
    monkeypatch.chdir(make("a").parent)
    make("b", 1)
    make("c", 2)
    with pytest.raises(UserError, match=words) as caught:
        plan(**recipe)
    assert "\n" not in str(caught.value)


def test_stored_vectors_belong_in_expressions(make: Make, tmp_path: Path) -> None:
    a, b = Checkpoint.open(make("a", 0)), Checkpoint.open(make("b", 1))
    vector = tmp_path / "v.safetensors"
    (b - a).save(vector)
    with pytest.raises(UserError, match="methods merge whole models"):
        plan(method="linear", models=[str(a.path), str(vector)])
    with pytest.raises(UserError, match="is a task vector; name a model as the anchor"):
        plan(expression="V + A", models={"V": str(vector), "A": str(a.path)})
    models = {"V": str(vector), "A": str(a.path)}
    out = read(write(plan(expression="A + V", models=models), tmp_path / "out"))
    assert torch.allclose(out["model.scale"], b.read("model.scale"))
    with pytest.raises(UserError, match="does not say which tokens"):
        plan(expression="A + V", models=models, vocabulary="base")


def test_merges_of_every_shape_are_confirmed_anew(tmp_path: Path) -> None:
    a, b = (str(save(tmp_path / name, llama(), seed)) for seed, name in enumerate("ab"))
    ranges = [{"sources": [{"model": m, "layer_range": [i, i + 3]}]} for i, m in enumerate((a, b))]
    recipes: list[dict[str, Any]] = [
        {"method": "passthrough", "slices": ranges},
        {"method": "dare_ties", "base": a, "models": [b], "parameters": {"density": {"mlp": [0.2, 0.8], "*": 0.5}}},
        {"expression": "A - 0.5*B", "models": {"A": a, "B": b}, "out_dtype": "bfloat16"},
    ]
    for i, recipe in enumerate(recipes):
        verdict = check(write(plan(**recipe), tmp_path / f"out{i}", threads=1))
        assert verdict.confirmed, verdict


def test_shards_are_the_anchors_or_as_large_as_asked(make: Make) -> None:
    a = str(make("a"))
    found = plan(method="linear", models=[a])
    assert list(found.layout()) == ["model.safetensors"]
    split = found.layout(100)
    assert [name for part in split.values() for name in part] == list(found.pieces)
    assert next(iter(split)) == f"model-00001-of-{len(split):05}.safetensors"
    assert all(len(part) == 1 or sum(p.info.nbytes for p in part.values()) <= 100 for part in split.values())
