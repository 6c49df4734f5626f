import json

import numpy as np
import pytest
import torch

from syn2real.errors import CheckpointMismatch
from syn2real.merge import Checkpoint, Merged, TaskVector, write

from .conftest import SHAPES, tensors


def opened(make, dtype=torch.float32):
    return [Checkpoint.open(make(name, seed, dtype)) for name, seed in (("t", 1), ("r", 2), ("s", 3))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_removing_and_adding_gives_the_same_bits(make, dtype):
    a, b, _ = opened(make, dtype)
    merged = b + (a - b)
    for name in SHAPES:
        assert merged.tensor(name).dtype == dtype and torch.equal(merged.tensor(name), a.read(name))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("out", [None, torch.float32, torch.float16, torch.bfloat16])
def test_parity_with_float64(make, dtype, out):
    t, r, s = opened(make, dtype)
    merged = t + 0.3 * (r - s)
    for name in SHAPES:
        theta = [tensors(seed, dtype)[name].double().numpy() for seed in (1, 2, 3)]
        exact = theta[0] + 0.3 * (theta[1] - theta[2])
        got = merged.tensor(name, out)
        assert got.dtype == (out or dtype) and got.shape == SHAPES[name]
        if got.dtype == torch.float16:
            assert np.array_equal(got.numpy(), exact.astype(np.float16))
        elif got.dtype == torch.float32:
            assert np.array_equal(got.numpy(), exact.astype(np.float32))
        else:  # numpy has no bfloat16: no neighbour may be nearer
            distance = np.abs(got.double().numpy() - exact)
            bits = got.view(torch.int16)
            for step in (-1, 1):
                near = (bits + step).view(torch.bfloat16).double().numpy()
                assert (distance <= np.abs(near - exact)).all()


def test_ranges_agree_with_the_whole(make):
    t, r, s = opened(make, torch.bfloat16)
    merged = t + 0.7 * (r - s)
    name = "model.embed_tokens.weight"
    parts = [merged.range(name, i, min(i + 5, 44)) for i in range(0, 44, 5)]
    assert torch.equal(torch.cat(parts), merged.tensor(name).flatten())


def test_zero_scale_reads_nothing_but_the_anchor(make, monkeypatch):
    t, r, s = opened(make)
    merged = t + 0.0 * (r - s)
    for other in (r, s):
        monkeypatch.setattr(other, "read_range", lambda *_: pytest.fail("read a source with coefficient 0"))
    assert all(torch.equal(merged.tensor(name), t.read(name)) for name in SHAPES)


def test_sums_of_merges(make):
    t, r, s = opened(make)
    x, y = r - s, s - t
    one, two = t + x + y, t + (x + y)
    assert all(torch.equal(one.tensor(name), two.tensor(name)) for name in SHAPES)
    back = t + x - x
    assert all(torch.equal(back.tensor(name), t.read(name)) for name in SHAPES)
    assert repr(t + x) == "Merged(+1·r +1·t -1·s)"


def test_mismatched_anchor(make):
    _, r, s = opened(make)
    other = Checkpoint.open(make("other", change={"model.embed_tokens.weight": torch.ones(12, 4)}))
    with pytest.raises(CheckpointMismatch, match="vocabulary"):
        other + (r - s)


def test_anchor_of_another_width(make, tmp_path):
    _, r, s = opened(make)
    half = Checkpoint.open(make("half", 1, torch.float16))
    with pytest.raises(CheckpointMismatch, match="allow_dtypes"):
        half + (r - s)
    merged = Merged(half, r - s, allow_dtypes=True)
    assert merged.tensor("model.scale").dtype == torch.float16
    (r - s).save(tmp_path / "tau.safetensors")
    stored = half + TaskVector.load(tmp_path / "tau.safetensors")  # a stored vector is float32 by nature
    assert torch.equal(stored.tensor("model.embed_tokens.weight"), merged.tensor("model.embed_tokens.weight"))


def test_integers_are_carried_when_equal(make, tmp_path):
    ids = {"position_ids": torch.arange(9), "bn.num_batches_tracked": torch.tensor(5)}
    other = ids | {"bn.num_batches_tracked": torch.tensor(7)}
    a, b = Checkpoint.open(make("a", 1, change=ids)), Checkpoint.open(make("b", 2, change=other))
    tau = a - b
    assert set(tau.names) == set(SHAPES)
    merged = b + 0.5 * tau
    assert torch.equal(merged.tensor("position_ids"), torch.arange(9))
    assert merged.tensor("bn.num_batches_tracked") == 7
    tau.save(tmp_path / "tau.safetensors")
    assert (a + TaskVector.load(tmp_path / "tau.safetensors")).tensor("bn.num_batches_tracked") == 5
    c = Checkpoint.open(make("c", 3, change=ids | {"position_ids": torch.arange(9) + 1}))
    with pytest.raises(CheckpointMismatch, match=r"position_ids.*differs"):
        (a + (c - a)).tensor("position_ids")
    with pytest.raises(CheckpointMismatch, match="position_ids"):
        (c - a).save(tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_sums_of_models_with_an_anchor(make, tmp_path):
    t, r, s = opened(make)
    mean = (0.25 * t + r * 0.25 + s / 2).anchored(r)
    assert mean.anchor is r and [term.coefficient for term in mean.terms] == [0.5, 0.25, 0.25]
    for name in SHAPES:
        exact = 0.25 * t.read(name).double() + 0.25 * r.read(name).double() + 0.5 * s.read(name).double()
        assert torch.equal(mean.tensor(name), exact.float())
    assert torch.equal((1.0 * t).anchored(t).tensor("model.scale"), t.read("model.scale"))
    again = (mean + 0.5 * (t - r)) - 0.5 * (t - r)
    assert all(torch.equal(again.tensor(name), mean.tensor(name)) for name in SHAPES)
    written = write((0.5 * t + 0.5 * r).anchored(s), tmp_path / "out")
    assert json.loads((written / "merge.json").read_text())["anchor"] == "s"
    assert torch.equal(
        Checkpoint.open(written).read("model.scale"), (0.5 * t + 0.5 * r).anchored(t).tensor("model.scale")
    )
    with pytest.raises(TypeError):
        t * r
