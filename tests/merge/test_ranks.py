"""Ranks by magnitude within rows, and what is kept by them, with compiled loops and without."""

import numpy as np
import pytest
import torch

from syn2real.merge import kernels
from syn2real.merge.draws import sixteen_bits
from syn2real.merge.ranks import ByRank, kept_by_rank, placed_by_rank

KINDS = ["plain", "equal", "far apart", "near", "infinite", "subnormal", "zero", "NaN", "one outlier"]


@pytest.fixture(params=[True, False], ids=["loops", "no loops"])
def loops(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(kernels, "_LIBRARY", None)
    elif not kernels.built():
        pytest.skip("no C compiler when the package was installed")


def made(kind, columns, count=40):
    """Rows of float32: among others, numbers that differ only in bits for which a key has no room."""
    generator = torch.Generator().manual_seed(columns)
    rows = torch.randn(count, columns, generator=generator)
    if kind == "equal":
        rows = torch.randint(-20, 20, rows.shape, generator=generator) / 64
    elif kind == "far apart":
        rows *= torch.exp2(torch.randint(-120, 120, rows.shape, generator=generator))
    elif kind == "near":
        rows = 1 + torch.randint(0, 64, rows.shape, generator=generator) * 2.0**-23
    elif kind == "infinite":
        rows[::2, columns // 2] = torch.inf
    elif kind == "subnormal":
        rows *= 1e-42
    elif kind == "zero":
        rows[::3] = 0
    elif kind == "NaN":
        rows[::2, columns // 2] = torch.nan
    elif kind == "one outlier":
        rows[:, columns // 3] = 1e30
    return rows


def ranks(rows):
    """Of equals the earlier is smaller; NaN is the largest."""
    return np.argsort(np.argsort(rows.abs().numpy(), axis=1, kind="stable"), axis=1)


@pytest.mark.parametrize("columns", [1, 2, 64, 577, 999, 1000, 1001, 3000])
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_placed(kind, columns, loops):
    rows = made(kind, columns)
    by_rank = np.arange(columns, dtype=np.int16)
    for model, base in ((rows.double(), None), (rows, torch.zeros(rows.numel()))):
        assert np.array_equal(placed_by_rank(model.view(-1), base, columns, by_rank), ranks(rows).ravel())


@pytest.mark.parametrize("columns", [1, 2, 64, 511, 577, 1001, 3001])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("span", [0, 0.02, 0.4], ids="{} of the draws between the limits".format)
def test_what_is_kept(span, kind, columns, loops):
    """As if every rank were known."""
    rows = made(kind, columns)
    limits = np.linspace(-9000 - span * 2**15, -9000 + span * 2**15, columns).astype(np.int16)
    first = 3 * columns
    drawn = sixteen_bits(5, first, first + rows.numel()).view(np.int16).reshape(rows.shape)
    wanted = drawn <= limits[ranks(rows)]
    for model, base in (
        (rows.double(), None),
        (rows, None),
        (rows, torch.zeros(rows.numel())),
        (rows.double(), torch.zeros(rows.numel())),
    ):
        kept = kept_by_rank(model.view(-1), base, columns, ByRank(limits), 5, first)
        assert np.array_equal(kept.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("columns", [2**16 - 1, 2**16])
@pytest.mark.parametrize("kind", ["plain", "zero"])
def test_what_is_kept_of_long_rows(kind, columns, loops):
    rows = made(kind, columns, count=2)
    limits = np.linspace(-20_000, 20_000, columns).astype(np.int16)
    drawn = sixteen_bits(5, 0, rows.numel()).view(np.int16).reshape(rows.shape)
    kept = kept_by_rank(rows.view(-1), torch.zeros(rows.numel()), columns, ByRank(limits), 5, 0)
    assert np.array_equal(kept.reshape(rows.shape), drawn <= limits[ranks(rows)])


def test_limits_at_the_ends_of_draws(loops):
    rows = made("plain", 300)
    limits = np.linspace(-(2**15), 2**15 - 1, 300).astype(np.int16)
    drawn = sixteen_bits(5, 0, rows.numel()).view(np.int16).reshape(rows.shape)
    kept = kept_by_rank(rows.view(-1), None, 300, ByRank(limits), 5, 0)
    assert np.array_equal(kept.reshape(rows.shape), drawn <= limits[ranks(rows)])
