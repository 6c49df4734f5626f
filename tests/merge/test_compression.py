import json
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from syn2real.errors import UserError
from syn2real.merge import Checkpoint, TaskVector, apply
from syn2real.merge.compression import compress
from syn2real.merge.formats.safetensors_file import SafetensorsFile

CHANGE = {
    "conv.weight": torch.zeros(5, 3, 2),
    "wide.weight": torch.zeros(70, 130),
    "empty": torch.zeros(0, 4),
    "long": torch.zeros(40_000),
}


@pytest.fixture
def tau(make, tmp_path):
    torch.manual_seed(0)
    noise = {name: torch.randn_like(value) for name, value in CHANGE.items()}
    noise["wide.weight"] = torch.randn(70, 2) @ torch.randn(2, 130)
    a, b = Checkpoint.open(make("a", 1, change=noise)), Checkpoint.open(make("b", 2, change=CHANGE))
    (a - b).save(tmp_path / "tau.safetensors")
    return TaskVector.load(tmp_path / "tau.safetensors")


def flat(vector):
    return torch.cat([vector.tensor(name).reshape(-1) for name in vector.names]).double()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("sparse", {"density": 0.1}),
        ("sparse", {"density": 1.0}),
        ("sparse", {"density": 1e-9}),
        ("sparse", {"density": 0.3, "dtype": torch.float16}),
        ("int8", {}),
        ("lowrank", {"rank": 1}),
        ("lowrank", {"rank": 4, "dtype": torch.bfloat16}),
    ],
)
def test_what_is_read_back_is_as_far_off_as_it_says(tau, tmp_path, method, options):
    path = tmp_path / "small.safetensors"
    report = compress(tau, path, method, **options)
    back = TaskVector.load(path)
    assert back.infos == tau.infos
    whole, there = flat(tau), flat(back)
    measured = ((whole - there).norm() / whole.norm()).item()
    assert math.isclose(report["relative_error"], measured, rel_tol=1e-4, abs_tol=1e-7)
    assert report["bytes"] == path.stat().st_size and math.isclose(
        report["ratio"], tau.parameters * 4 / report["bytes"]
    )
    info = back.info()
    assert math.isclose(info["compression"]["relative_error"], report["relative_error"], rel_tol=1e-5)
    assert info["compression"]["method"] == method
    assert info["parents"][0]["parents"] == tau.info()["parents"]
    first = path.read_bytes()
    compress(tau, path, method, **options)
    assert path.read_bytes() == first
    load_file(path)  # a plain safetensors file to others
    for name, info_ in back.infos.items():
        values = back.tensor(name).reshape(-1)
        for start, stop in ((0, 0), (info_.numel // 3, info_.numel // 2), (info_.numel, info_.numel)):
            assert torch.equal(back.range(name, start, stop), values[start:stop])


def test_sparse_keeps_exactly_the_largest(tau, tmp_path):
    report = compress(tau, tmp_path / "s", "sparse", density=0.05)
    whole, there = flat(tau), flat(TaskVector.load(tmp_path / "s"))
    keep = round(0.05 * whole.numel())
    assert report["kept"] == keep == int((there != 0).sum())
    assert torch.equal(there[there != 0], whole[there != 0])
    assert whole[there == 0].abs().max() <= there[there != 0].abs().min()
    best = math.sqrt(1 - (whole.abs().topk(keep).values ** 2).sum() / (whole**2).sum())
    assert math.isclose(report["relative_error"], best, rel_tol=1e-6)


def test_ties_are_broken_in_order(make, tmp_path):
    ones, zeros = {"x": torch.ones(7), "y": torch.ones(9)}, {"x": torch.zeros(7), "y": torch.zeros(9)}
    none = dict.fromkeys(Checkpoint.open(make("n")))
    a, b = Checkpoint.open(make("a", change=none | ones)), Checkpoint.open(make("b", change=none | zeros))
    compress(a - b, tmp_path / "s", "sparse", density=0.5)
    back = TaskVector.load(tmp_path / "s")
    assert back.tensor("x").tolist() == [1] * 7 and back.tensor("y").tolist() == [1] + [0] * 8


def test_int8_is_within_half_a_step_of_each_row(tau, tmp_path):
    compress(tau, tmp_path / "s", "int8")
    back = TaskVector.load(tmp_path / "s")
    wide = tau.tensor("wide.weight")
    step = wide.abs().amax(1, keepdim=True) / 127
    assert ((back.tensor("wide.weight") - wide).abs() <= step * 0.5001).all()
    assert ((back.tensor("long") - tau.tensor("long")).abs() <= tau.tensor("long").abs().max() / 254 * 1.001).all()


def test_low_rank_is_exact_at_the_true_rank(tau, tmp_path):
    compress(tau, tmp_path / "s", "lowrank", rank=2)
    back = TaskVector.load(tmp_path / "s")
    assert torch.allclose(back.tensor("wide.weight"), tau.tensor("wide.weight"), atol=1e-5)
    assert torch.equal(back.tensor("model.scale"), tau.tensor("model.scale"))
    stored = SafetensorsFile(tmp_path / "s").infos
    factors = sum(info.numel for name, info in stored.items() if name.startswith(("left:", "right:")))
    assert back.terms[0].source.held_bytes == 8 * factors > 0


@given(
    values=st.lists(st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False), min_size=1, max_size=40),
    density=st.floats(0.01, 1),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values(tmp_path, values, density):
    for name, content in (("p", torch.tensor(values)), ("q", torch.zeros(len(values)))):
        save_file({"x": content}, tmp_path / f"{name}.safetensors")
    tau = Checkpoint.open(tmp_path / "p.safetensors") - Checkpoint.open(tmp_path / "q.safetensors")
    for method in ("sparse", "int8", "lowrank"):
        report = compress(tau, tmp_path / "s", method, density=density)
        assert 0 <= report["relative_error"] <= 1
        TaskVector.load(tmp_path / "s").tensor("x")


def test_scales_beyond_float32_are_refused(tmp_path):
    for name, value in (("x", 1e300), ("y", 0.0)):
        save_file({"a.weight": torch.full((4, 4), value, dtype=torch.float64)}, tmp_path / f"{name}.safetensors")
    vector = Checkpoint.open(tmp_path / "x.safetensors") - Checkpoint.open(tmp_path / "y.safetensors")
    with pytest.raises(UserError, match="not finite in float32"):
        compress(vector, tmp_path / "small", "int8")
    assert not (tmp_path / "small").exists()


def test_a_vector_of_zeros(make, tmp_path):
    a = Checkpoint.open(make("a"))
    for method in ("sparse", "int8", "lowrank"):
        assert compress(a - a, tmp_path / "s", method)["relative_error"] == 0
        assert TaskVector.load(tmp_path / "s").norm() == 0


def test_compressed_vectors_take_part_in_everything(tau, make, tmp_path):
    compress(tau, tmp_path / "s", "int8")
    back = TaskVector.load(tmp_path / "s")
    b = Checkpoint.open(tmp_path / "b")
    out = Checkpoint.open(apply(b, 0.5 * back + 0.5 * tau, 1.0, tmp_path / "out"))
    for name in b:
        wanted = b.read(name).double() + 0.5 * (back.tensor(name).double() + tau.tensor(name).double())
        assert torch.allclose(out.read(name).double(), wanted, rtol=1e-6, atol=1e-6)
    (2 * back).save(tmp_path / "twice.safetensors")
    compress(back, tmp_path / "again", "sparse", density=0.5)


def test_refusals(tau, tmp_path):
    for arguments, problem in (
        (("zip",), "choose from"),
        (("sparse", {"density": 0}), "more than 0"),
        (("sparse", {"density": 2}), "at most 1"),
        (("lowrank", {"rank": 0}), "at least 1"),
        (("int8", {"dtype": torch.int8}), "choose from"),
    ):
        method, options = (*arguments, {})[:2]
        with pytest.raises(UserError, match=problem):
            compress(tau, tmp_path / "x", method, **options)
    with pytest.raises(UserError, match="own inputs"):
        compress(tau, tmp_path / "tau.safetensors", "int8")
    with pytest.raises(UserError, match="not finite in float16"):
        compress(tau * 1e6, tmp_path / "x", "sparse", dtype=torch.float16)
    assert not (tmp_path / "x").exists()


def stored(path, tensors, content):
    metadata = {"format": "syn2real.task_vector", "version": "2", "parents": "[]", "recipe": "{}"}
    save_file(tensors, path, metadata=metadata | ({"compression": content} if content is not None else {}))
    return path


def entry(kind, shape, **more):
    return json.dumps({"method": "x", "relative_error": 0, "tensors": {"a": {"kind": kind, "shape": shape, **more}}})


SPARSE = {"indices:a": torch.tensor([0, 2], dtype=torch.int32), "values:a": torch.ones(2)}
INT8 = {"codes:a": torch.ones(4, dtype=torch.int8), "scales:a": torch.ones(2)}
FACTORS = {"left:a": torch.ones(3, 2), "right:a": torch.ones(2, 4)}


@pytest.mark.parametrize(
    ("tensors", "content", "problem"),
    [
        (SPARSE, None, "compression cannot be read"),
        (SPARSE, "{", "compression cannot be read"),
        (SPARSE, '{"tensors": [], "relative_error": 0}', "compression cannot be read"),
        (SPARSE, entry("zip", [4]), "unknown way"),
        (SPARSE, entry("sparse", [-4]), "impossible shape"),
        (SPARSE, entry("int8", [4], block=2), "lacks its codes"),
        (SPARSE | {"plain:b": torch.ones(1)}, entry("sparse", [4]), "plain:b is part of no tensor"),
        (SPARSE | {"values:a": torch.ones(3)}, entry("sparse", [4]), "do not fit"),
        (SPARSE | {"indices:a": torch.ones(2)}, entry("sparse", [4]), "lacks its indices"),
        (INT8, entry("int8", [5], block=2), "do not fit"),
        (INT8, entry("int8", [4], block=0), "do not fit"),
        (INT8, entry("int8", [4]), "do not fit"),
        (FACTORS, entry("lowrank", [3, 5]), "do not fit"),
        (FACTORS, entry("lowrank", []), "do not fit"),
        ({"plain:a": torch.ones(3)}, entry("plain", [2]), "do not fit"),
        (SPARSE, entry(["sparse"], [4]), "unknown way"),
        (SPARSE, entry("sparse", [1 << 40]), "impossible shape"),
        (SPARSE, entry("sparse", [1 << 32]), "do not fit"),
        (
            SPARSE,
            entry("sparse", [4]).replace('"relative_error": 0', '"relative_error": 1' + "0" * 400),
            "cannot be read",
        ),
        (SPARSE, entry("sparse", [4]).replace('"relative_error": 0', '"relative_error": NaN'), "cannot be read"),
    ],
)
def test_damaged_files(tmp_path, tensors, content, problem):
    with pytest.raises(UserError, match=problem):
        TaskVector.load(stored(tmp_path / "x", tensors, content))


def test_blocks_far_longer_than_their_tensor(tmp_path):
    tensors = {"codes:a": torch.ones(4, dtype=torch.int8), "scales:a": torch.full((1,), 0.5)}
    vector = TaskVector.load(stored(tmp_path / "x", tensors, entry("int8", [4], block=1 << 70)))
    assert vector.tensor("a").tolist() == [0.5] * 4


@pytest.mark.parametrize("indices", [[2, 0], [0, 9], [-1, 2], [1, 1]])
def test_indices_that_lie(tmp_path, indices):
    tensors = SPARSE | {"indices:a": torch.tensor(indices, dtype=torch.int32)}
    vector = TaskVector.load(stored(tmp_path / "x", tensors, entry("sparse", [4])))
    with pytest.raises(UserError, match="not in order"):
        vector.tensor("a")
