import math
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.merge import Checkpoint
from syn2real.merge.heatmap import draw
from syn2real.merge.similarity import compare

WIDE = {f"model.layers.{i}.self_attn.q_proj.weight": (30, 20) for i in range(2)}


@pytest.fixture
def vectors(make):
    """Three vectors over one base; the first two share a part, and the third is half zeros."""
    base = Checkpoint.open(make("base", change={name: torch.zeros(shape) for name, shape in WIDE.items()}))
    found = {}
    for i, name in enumerate(("first", "second", "third")):
        generator = torch.Generator().manual_seed(i)
        change = {n: torch.randn(shape, generator=generator) for n, shape in WIDE.items()}
        if name == "second":
            change = {n: 0.5 * value + found["first"].tensor(n) for n, value in change.items()}
        if name == "third":
            change = {n: value * (torch.arange(20) % 2) for n, value in change.items()}
        found[name] = Checkpoint.open(make(name, i + 1, change=change)) - base
    return found


def flat(vector, only=""):
    return torch.cat([vector.tensor(name).reshape(-1) for name in vector.names if only in name]).double()


def test_measures_are_those_of_the_flattened_vectors(vectors):
    found = compare(vectors, subspace=4).as_json()
    assert found["names"] == list(vectors) and found["elements"] == flat(vectors["first"]).numel()
    parts = {"": found, "self_attn": found["groups"]["attention"], "layers.1": found["layers"]["model.layers.1"]}
    for only, measured in parts.items():
        values = [flat(vector, only) for vector in vectors.values()]
        for i, x in enumerate(values):
            assert math.isclose(measured["norms"][i], x.norm().item(), rel_tol=1e-6)
            for j, y in enumerate(values):
                cosine = (torch.dot(x, y) / x.norm() / y.norm()).item()
                assert math.isclose(measured["cosine"][i][j], cosine, rel_tol=1e-6, abs_tol=1e-7)
                both = (x != 0) & (y != 0)
                equal = both & (x.sign() == y.sign())
                weights = (x * y).abs()
                assert math.isclose(measured["sign_agreement"][i][j], (equal.sum() / both.sum()).item(), rel_tol=1e-6)
                weighted = (weights[equal].sum() / weights.sum()).item()
                assert math.isclose(measured["sign_agreement_weighted"][i][j], weighted, rel_tol=1e-6)


def test_subspaces(vectors):
    spaces = compare(vectors, subspace=4).subspaces
    assert spaces is not None and spaces.matrices == 2 and spaces.k == 4
    assert torch.allclose(spaces.expected, torch.full((3, 3), 4 / 30, dtype=torch.float64))
    wanted = []
    for name in WIDE:
        a, b = (np.linalg.svd(vectors[n].tensor(name).double().numpy())[0][:, :4] for n in ("first", "second"))
        wanted.append((np.linalg.svd(a.T @ b)[1] ** 2).mean())  # squared cosines of the principal angles
    assert math.isclose(spaces.overlap[0, 1].item(), float(np.mean(wanted)), rel_tol=1e-6)
    assert torch.allclose(spaces.overlap.diagonal(), torch.ones(3, dtype=torch.float64))
    assert spaces.overlap[0, 1] > 0.5 > spaces.overlap[0, 2]
    assert compare(vectors, subspace=0).subspaces is None
    assert compare(vectors, subspace=25).as_json()["subspaces"] is None


def test_random_subspaces_overlap_as_expected(tmp_path):
    names = [f"w{i}.weight" for i in range(40)]
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        save_file(
            {n: torch.randn(50, 40, generator=generator) * bool(seed) for n in names}, tmp_path / f"{seed}.safetensors"
        )
    base, a, b = (Checkpoint.open(tmp_path / f"{seed}.safetensors") for seed in range(3))
    spaces = compare({"a": a - base, "b": b - base}, subspace=5).subspaces
    assert spaces is not None
    assert math.isclose(spaces.overlap[0, 1].item(), spaces.expected[0, 1].item(), rel_tol=0.1)


def test_subspaces_of_lower_rank_than_asked_for(tmp_path):
    torch.manual_seed(0)
    low, full = torch.randn(30, 2) @ torch.randn(2, 20), torch.randn(30, 20)
    for name, value in {"base": torch.zeros(30, 20), "low": low, "full": full}.items():
        save_file({"m.weight": value}, tmp_path / f"{name}.safetensors")
    base, a, b = (Checkpoint.open(tmp_path / f"{name}.safetensors") for name in ("base", "low", "full"))
    spaces = compare({"low": a - base, "full": b - base}, subspace=6).subspaces
    assert spaces is not None
    assert math.isclose(spaces.overlap[0, 0].item(), 1.0) and math.isclose(spaces.expected[0, 0].item(), 2 / 30)
    assert math.isclose(spaces.expected[0, 1].item(), 6 / 30)


def test_zero_vectors_have_no_cosine(vectors):
    zero = vectors["first"] - vectors["first"]
    found = compare({"a": vectors["first"], "zero": zero}, subspace=4).as_json()
    assert found["cosine"] == [[1.0, None], [None, None]] and found["norms"][1] == 0
    assert found["sign_agreement"][0][1] is None and found["subspaces"]["overlap"][0][1] is None


def test_refusals(vectors, make):
    with pytest.raises(UserError, match="at least two"):
        compare({"a": vectors["first"]})
    with pytest.raises(UserError, match="0 or more"):
        compare(vectors, subspace=-1)
    other = Checkpoint.open(make("x", 1)) - Checkpoint.open(make("y", 2))
    with pytest.raises(CheckpointMismatch):
        compare({"a": vectors["first"], "b": other})
    broken = Checkpoint.open(make("nan", change={"model.scale": torch.tensor(math.nan)}))
    with pytest.raises(UserError, match=r"model\.scale is not finite in b"):
        compare({"a": other, "b": broken - Checkpoint.open(make("z", 2))})


def test_picture(vectors, tmp_path):
    pytest.importorskip("matplotlib", reason="draws")
    for count in (2, 3):
        chosen = dict(list(vectors.items())[:count]) | {
            f"a name that is far too long for a figure {count}": vectors["first"]
        }
        draw(compare(chosen, subspace=0), tmp_path / f"{count}.png")
        raw = (tmp_path / f"{count}.png").read_bytes()
        width, height = struct.unpack(">II", raw[16:24])
        assert raw.startswith(b"\x89PNG") and 600 < width < 3000 and 300 < height < 2000
        draw(compare(chosen, subspace=0), tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == raw
    dollars = {f"run$1_${{{place}": vector for place, vector in enumerate(chosen.values())}
    draw(compare(dollars, subspace=0), tmp_path / "dollars.png")
    with pytest.raises(UserError, match=r"must end in \.png"):
        draw(compare(vectors, subspace=0), tmp_path / "x.pdf")
