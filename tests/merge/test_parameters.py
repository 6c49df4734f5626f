"""Parameters that vary over a model."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.merge.groups import positions
from syn2real.merge.parameters import Resolver, matches

NAMES = [
    "model.encoder.conv1.weight",
    *(f"model.encoder.layers.{i}.self_attn.q_proj.weight" for i in range(3)),
    *(f"model.encoder.layers.{i}.fc1.weight" for i in range(3)),
    "model.decoder.embed_tokens.weight",
    *(f"model.decoder.layers.{i}.encoder_attn.q_proj.bias" for i in range(3)),
    "model.decoder.layer_norm.weight",
]
ATTENTION, MLP, CROSS = NAMES[2], NAMES[5], NAMES[9]


def value(specification: Any, name: str, default: Any = None) -> Any:
    return Resolver(positions(NAMES)).value(specification, name, "weight", default)


@pytest.mark.parametrize(
    ("specification", "expected"),  # of ATTENTION, MLP and CROSS, all in the middle layer
    [
        (0.5, (0.5, 0.5, 0.5)),
        ([0.5], (0.5, 0.5, 0.5)),
        ([0, 1], (0.5, 0.5, 0.5)),
        ([0, 0.2, 1], (0.2, 0.2, 0.2)),
        ([0, 1, 2, 5], (1.5, 1.5, 1.5)),
        ({"encoder": 1, "decoder": 2}, (1, 1, 2)),
        ({"cross_attention": 3, "attention": 1, "*": 0}, (1, 0, 3)),
        ({"attention": 1, "cross_attention": 3}, (1, None, 1)),  # the first that matches
        ({"*.fc1.*": 4}, (None, 4, None)),
        ({"model.encoder.layers.?.fc[12].weight": 4}, (None, 4, None)),
        ({"fc1": 4, "q_proj.w": 5}, (5, 4, None)),
        ({"/layers\\.[12]\\..*bias$/": 6, "*": 0}, (0, 0, 6)),
        ({"layers": [0, 8], "*": 1}, (4, 4, 4)),
        ({"encoder": {"mlp": [0, 1], "*": 7}, "*": 2}, (7, 0.5, 2)),
        ([{"filter": "encoder", "value": 1}, {"value": 2}], (1, 1, 2)),
        ([{"filter": "*", "value": 1}, {"value": 2}], (1, 1, 1)),
        ({"other": 1}, (None, None, None)),
        (None, (None, None, None)),
        (True, (True, True, True)),
    ],
)
def test_forms(specification: Any, expected: tuple[Any, ...]) -> None:
    assert tuple(value(specification, name) for name in (ATTENTION, MLP, CROSS)) == expected


def test_outside_of_layers_a_gradient_takes_its_ends() -> None:
    assert [value([1, 2], NAMES[i]) for i in (0, 7, 11)] == [1, 1, 2]


def test_a_filter_that_ends_nowhere_leaves_the_default() -> None:
    assert value({"encoder": {"norm": 1}}, MLP, 9) == 9


@pytest.mark.parametrize(
    "wrong", [[0, "a"], [], [True, False], [{"filter": "a"}], [{"value": 1, "flter": 2}], [1, {}], [{"value": 1}, 2]]
)
def test_what_is_none_of_the_forms(wrong: Any) -> None:
    with pytest.raises(UserError, match="weight: "):
        value(wrong, MLP)


def test_the_forms_in_the_documentation_are_yaml() -> None:
    text = (Path(__file__).parents[2] / "docs" / "merging.md").read_text(encoding="utf-8")
    forms = [yaml.safe_load(form) for form in re.findall(r"^\| `([\[{].*)` \|", text, re.MULTILINE)]
    assert len(forms) == 3
    assert [value(form, MLP) for form in forms] == [0.5, 0.3, 0.5]


def test_a_broken_regular_expression_is_the_users() -> None:
    with pytest.raises(UserError, match=r"filter /\(/: not a regular expression"):
        matches("/(/", MLP)


def test_filters_that_match_nothing_are_known() -> None:
    resolver = Resolver(positions(NAMES))
    for name in NAMES:
        resolver.value({"encoder": 1, "fc3": 2, "decoder": {"mlp": 1}, "*": 0}, name, "weight", None)
    assert resolver.unused == ["fc3", "mlp"]
    assert resolver.shadowed == []


@pytest.mark.parametrize(
    ("specification", "unused", "shadowed"),
    [
        ({"*": 1.0, "layers.0": 0.0, "typo": 0.1}, ["typo"], ["layers.0"]),
        ({"attention": 1, "cross_attention": 2, "mlp": 3, "*": 0}, [], ["cross_attention"]),
        ({"encoder": {"*": 1, "fc1": 2}, "decoder": {"fc1": 3, "*": 4}}, [], ["fc1"]),
        ([{"value": 1}, {"filter": "mlp", "value": 2}, {"value": 3}], [], ["mlp"]),
        ({"encoder": 1, "decoder": 2, "*": 0}, [], []),  # a rest of nothing is no mistake
        ({"layers.0": 1, "layers": 2, "conv": 3, "*": 4}, [], []),
    ],
)
def test_filters_behind_others_are_known(specification: Any, unused: list[str], shadowed: list[str]) -> None:
    resolver = Resolver(positions(NAMES))
    for name in NAMES:
        resolver.value(specification, name, "weight", None)
    assert (resolver.unused, resolver.shadowed) == (unused, shadowed)


def test_a_filter_of_use_in_one_place_may_be_of_none_in_another() -> None:
    resolver = Resolver(positions(NAMES))
    for name in NAMES:
        resolver.value({"mlp": 1, "*": 0}, name, "weight", None)
        resolver.value({"*": 0, "mlp": 1}, name, "density", None)
    assert resolver.shadowed == ["mlp"]


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6), st.integers(2, 9))
def test_gradients_are_linear_interpolation(values: list[float], layers: int) -> None:
    names = [f"model.layers.{i}.fc1.weight" for i in range(layers)]
    resolver = Resolver(positions(names))
    found = [resolver.value(values, name, "weight", None) for name in names]
    assert found[0] == values[0]
    assert found[-1] == pytest.approx(values[-1])
    assert all(min(values) - 1e-9 <= item <= max(values) + 1e-9 for item in found)
