import json
import math
import shutil

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.merge import Checkpoint, TaskVector, cosine
from syn2real.merge.measures import group_of

from .conftest import SHAPES, tensors

coefficient = st.floats(-3, 3).map(lambda x: round(x, 3))
EASY = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def three(make):
    return [Checkpoint.open(make(name, seed)) for name, seed in (("a", 1), ("b", 2), ("c", 3))]


def equal(x, y):
    return x.names == y.names and all(torch.equal(x.tensor(n), y.tensor(n)) for n in x.names)


def close(x, y):
    return all(torch.allclose(x.tensor(n), y.tensor(n), rtol=1e-6, atol=1e-6) for n in x.names)


def test_difference(three):
    a, b, _ = three
    tau = a - b
    assert set(tau.names) == set(SHAPES) and tau.parameters == a.parameters
    for name in tau.names:
        wanted = tensors(1)[name] - tensors(2)[name]
        assert tau.tensor(name).dtype == torch.float32 and torch.equal(tau.tensor(name), wanted)
        assert torch.equal(tau.range(name, 1, 1), torch.empty(0))
    assert repr(tau) == "TaskVector(+1·a -1·b)"


@EASY
@given(s=coefficient, t=coefficient)
def test_linearity(three, s, t):
    a, b, c = three
    x, y = a - b, b - c
    combined = s * x + t * y
    for name in combined.names:
        wanted = s * x.tensor(name).double() + t * y.tensor(name).double()
        assert torch.allclose(combined.tensor(name).double(), wanted, rtol=1e-6, atol=1e-6)
    assert close((x + y) * s, x * s + y * s)
    assert close(x * s * t, x * (s * t))


@EASY
@example(order=[0, 3, 2, 1], scales=[1.0, 0.0, 1.812, 1.812])  # 1 − 1.812 + 1.812 is not 1 in every order
@given(order=st.permutations(range(4)), scales=st.lists(coefficient, min_size=4, max_size=4))
def test_the_order_of_terms_does_not_matter(three, order, scales):
    a, b, c = three
    vectors = [scale * tau for scale, tau in zip(scales, (a - b, b - c, c - a, a - c), strict=True)]
    forwards, shuffled = vectors[0], vectors[order[0]]
    for i in range(1, 4):
        forwards, shuffled = forwards + vectors[i], shuffled + vectors[order[i]]
    assert equal(forwards, shuffled)


def test_algebra(three):
    a, b, c = three
    x, y = a - b, b - c
    assert equal(x + y, a - c) and len((x + y).terms) == 3  # b cancels out, and stays for its names
    assert equal(-x, b - a) and equal(x - y, x + -y) and equal(x / 2, x * 0.5) and equal(2 * x, x + x)
    assert equal(TaskVector.mean([x, x, x]), x)
    assert close(TaskVector.mean([x, y]), (x + y) / 2)
    zero = x - x
    assert zero.norm() == 0 and not zero.tensor("model.scale")
    for bad in (lambda: x * float("nan"), lambda: x / 0, lambda: TaskVector.mean([]), lambda: x * float("inf")):
        with pytest.raises(UserError):
            bad()
    with pytest.raises(TypeError):
        _ = x * "2"
    with pytest.raises(KeyError):
        x.tensor("absent")


def test_norms_and_cosine(three):
    a, b, c = three
    x, y = a - b, b - c
    flat_x, flat_y = (torch.cat([v.tensor(n).flatten() for n in v.names]).double() for v in (x, y))
    assert math.isclose(x.norm(), flat_x.norm().item(), rel_tol=1e-6)
    assert math.isclose(x.norms()["model.scale"], abs(x.tensor("model.scale").item()), rel_tol=1e-6)
    wanted = torch.dot(flat_x, flat_y) / flat_x.norm() / flat_y.norm()
    assert math.isclose(cosine(x, y), wanted.item(), rel_tol=1e-6)
    assert math.isclose(cosine(x, x * 3), 1.0) and math.isclose(cosine(x, -x), -1.0)
    with pytest.raises(UserError, match="zero task vector"):
        cosine(x, x - x)


def test_save_and_load(three, tmp_path):
    a, b, c = three
    tau = 0.5 * (a - b)
    tau.save(tmp_path / "tau.safetensors", recipe={"domain": "weather"})
    again = TaskVector.load(tmp_path / "tau.safetensors")
    assert equal(again, tau)
    assert {n: t.shape for n, t in load_file(tmp_path / "tau.safetensors").items()} == {
        n: torch.Size(s) for n, s in SHAPES.items()
    }
    with safe_open(tmp_path / "tau.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "syn2real.task_vector" and json.loads(metadata["recipe"]) == {"domain": "weather"}
    parents = json.loads(metadata["parents"])
    assert parents == [
        {"name": "a", "sha256": a.sha256, "coefficient": 0.5},
        {"name": "b", "sha256": b.sha256, "coefficient": -0.5},
    ]
    assert str(tmp_path) not in json.dumps(metadata)
    first = (tmp_path / "tau.safetensors").read_bytes()
    tau.save(tmp_path / "tau.safetensors", recipe={"domain": "weather"})
    assert (tmp_path / "tau.safetensors").read_bytes() == first
    both = again + (b - c)
    assert close(both, tau + (b - c))
    assert any(entry.get("parents") == parents for entry in both.provenance)
    half = tmp_path / "half.safetensors"
    tau.save(half, dtype=torch.bfloat16)
    assert all(tensor.dtype == torch.bfloat16 for tensor in load_file(half).values())


def test_save_refuses(three, tmp_path, make):
    a, b, _ = three
    tau = a - b
    with pytest.raises(UserError, match="choose from"):
        tau.save(tmp_path / "x", dtype=torch.int8)
    with pytest.raises(UserError, match="is a directory"):
        tau.save(tmp_path)
    with pytest.raises(UserError, match="not finite in float16"):
        (tau * 1e6).save(tmp_path / "x.safetensors", dtype=torch.float16)
    tau.save(tmp_path / "tau.safetensors")
    with pytest.raises(UserError, match="own inputs"):
        (2 * TaskVector.load(tmp_path / "tau.safetensors")).save(tmp_path / "tau.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "tau.safetensors"]


def test_what_belongs_to_an_input_is_not_overwritten(three, tmp_path):
    _, b, _ = three
    (tmp_path / "a" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="belongs to a"):
        (Checkpoint.open(tmp_path / "a") - b).save(tmp_path / "a" / "config.json")
    assert (tmp_path / "a" / "config.json").read_text() == "{}"


def test_models_of_integers_have_no_vector(tmp_path):
    for name in ("x", "y"):
        save_file({"ids": torch.arange(3)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(UserError, match="no floating-point weights"):
        (Checkpoint.open(tmp_path / "x.safetensors") - Checkpoint.open(tmp_path / "y.safetensors")).save(tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_weights_of_a_mean_beyond_all_bounds(three):
    a, b, _ = three
    with pytest.raises(UserError, match="add up to inf"):
        TaskVector.mean([a - b, b - a], [1e308, 1e308])


def test_what_is_no_task_vector(three, tmp_path):
    a, b, _ = three
    with pytest.raises(UserError, match="not a task vector"):
        TaskVector.load(tmp_path / "a" / "model.safetensors")
    with pytest.raises(UserError, match="no such file"):
        TaskVector.load(tmp_path / "absent")
    (a - b).save(tmp_path / "tau.safetensors")
    with pytest.raises(UserError, match="a task vector, not a model"):
        Checkpoint.open(tmp_path / "tau.safetensors")
    save_file({"x": torch.ones(1)}, tmp_path / "later", metadata={"format": "syn2real.task_vector", "version": "9"})
    with pytest.raises(UserError, match="version 9"):
        TaskVector.load(tmp_path / "later")
    save_file({"x": torch.ones(1)}, tmp_path / "odd", metadata={"format": "syn2real.task_vector", "version": "1"})
    with pytest.raises(UserError, match="damaged task vector"):
        TaskVector.load(tmp_path / "odd")


NESTED = '1, "parents": 7'
PARENT = '{"name": "a", "sha256": "b", "coefficient": %s}'


@pytest.mark.parametrize(
    "parents, recipe",
    [
        ("[" * 100_000, "{}"),
        ("null", "{}"),
        ("[1]", "{}"),
        ("[{}]", "{}"),
        (f"[{PARENT % 'null'}]", "{}"),
        (f"[{PARENT % 'NaN'}]", "{}"),
        (f"[{PARENT % ('1' + '0' * 400)}]", "{}"),
        (f"[{PARENT % NESTED}]", "{}"),
        (r'[{"name": "\ud800", "sha256": "b"}]', "{}"),
        ("[]", "[1]"),
    ],
)
def test_damaged_provenance(tmp_path, parents, recipe):
    metadata = {"format": "syn2real.task_vector", "version": "1", "parents": parents, "recipe": recipe}
    save_file({"x": torch.ones(1)}, tmp_path / "odd", metadata=metadata)
    with pytest.raises(UserError, match="damaged task vector"):
        TaskVector.load(tmp_path / "odd")


def test_info(three, tmp_path):
    a, b, _ = three
    tau = a - b
    info = tau.info()
    assert info["tensors"] == 6 and info["parameters"] == a.parameters and info["dtype"] == "float32"
    assert math.isclose(info["norm"], tau.norm()) and json.dumps(info)
    groups = {entry["group"]: entry for entry in info["largest_groups"]}
    assert set(groups) == {"model.embed_tokens", "model.layers.0", "model.layers.1", "model"}
    layer = torch.cat([tau.tensor(f"model.layers.0.fc1.{part}").flatten() for part in ("weight", "bias")])
    entry = groups["model.layers.0"]
    assert math.isclose(entry["norm"], layer.norm().item(), rel_tol=1e-6) and entry["parameters"] == 30
    rms = tau.norm() / math.sqrt(tau.parameters)
    assert math.isclose(entry["relative_norm"], layer.norm().item() / math.sqrt(30) / rms, rel_tol=1e-6)
    relative = [entry["relative_norm"] for entry in info["largest_groups"]]
    assert relative == sorted(relative, reverse=True)
    tau.save(tmp_path / "tau.safetensors")
    stored = TaskVector.load(tmp_path / "tau.safetensors").info()
    assert stored["parents"] == info["parents"] and len(stored["sha256"]) == 64


def test_groups():
    assert group_of("model.layers.12.mlp.up_proj.weight") == "model.layers.12"
    assert group_of("lm_head.weight") == "lm_head" and group_of("scale") == "scale"


def test_mismatch_lists_everything_at_once(make):
    a = Checkpoint.open(make("a"))
    change = {
        "model.scale": None,
        "extra": torch.ones(1),
        "model.layers.0.fc1.bias": torch.ones(7),
        "model.layers.1.fc1.bias": torch.ones(6).half(),
    }
    b = Checkpoint.open(make("b", change=change))
    with pytest.raises(CheckpointMismatch) as caught:
        a - b
    message = str(caught.value)
    for part in ("model.scale is not in b", "extra is not in a", "[6] in a, [7] in b", "float32 in a, float16 in b"):
        assert part in message
    assert "\n" not in message
    c = Checkpoint.open(make("c", change=dict.fromkeys(SHAPES) | {f"x{i}": torch.ones(1) for i in range(20)}))
    with pytest.raises(CheckpointMismatch, match="and 21 more"):
        a - c


def test_vocabularies(make):
    a = Checkpoint.open(make("a"))
    b = Checkpoint.open(make("b", change={"model.embed_tokens.weight": torch.ones(12, 4)}))
    with pytest.raises(CheckpointMismatch, match="vocabulary of a has 11 entries, that of b 12"):
        a - b


def test_dtypes_are_strict_unless_allowed(make):
    a, b = Checkpoint.open(make("a", 1)), Checkpoint.open(make("b", 2, torch.float16))
    with pytest.raises(CheckpointMismatch, match="say allow_dtypes"):
        a - b
    tau = TaskVector.between(a, b, allow_dtypes=True)
    assert torch.equal(tau.tensor("model.scale"), tensors(1)["model.scale"] - tensors(2)["model.scale"].half().float())
    assert (2 * tau + tau).allow_dtypes
    c = Checkpoint.open(make("c", change={"model.layers.0.fc1.bias": torch.arange(6)}))
    with pytest.raises(CheckpointMismatch, match="int64"):
        TaskVector.between(a, c, allow_dtypes=True)


def test_the_same_files_under_another_name_are_the_same_source(three, tmp_path):
    a, b, _ = three
    (tmp_path / "link").symlink_to(tmp_path / "b")
    zero = (a - b) + (Checkpoint.open(tmp_path / "link") - a)
    assert [term.coefficient for term in zero.terms] == [0, 0]
    shutil.copytree(tmp_path / "b", tmp_path / "copy")
    assert len(((a - b) + (Checkpoint.open(tmp_path / "copy") - a)).terms) == 3
