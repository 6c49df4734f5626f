"""What a method sees of one tensor: blocks, sums and random numbers that do not depend on how they are read."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.merge import Stack
from syn2real.merge import stack as stack_module
from syn2real.merge.draws import sixteen_bits, words
from syn2real.merge.stack import UNIT


def stack_of(shape, count=2, base=True, **more):
    generator = torch.Generator().manual_seed(0)
    models = [torch.randn(shape, generator=generator) for _ in range(count)]
    return models, Stack.of(models, torch.randn(shape, generator=generator) if base else None, **more)


@pytest.mark.parametrize("shape", [(300, 257), (70_000,), (UNIT,), (2, UNIT + 1), (1,), (0,), (3, 0), ()], ids=str)
@pytest.mark.parametrize("rows", [False, True])
def test_blocks_cover_the_tensor(shape, rows):
    (first, _), stack = stack_of(shape)
    blocks = list(stack.blocks(rows=rows))
    assert [block.start for block in blocks] == list(np.cumsum([0, *(b.models[0].numel() for b in blocks)])[:-1])
    assert torch.equal(stack.collect(block.models[0] for block in blocks), first.double())
    if rows:
        assert all(block.models[0].numel() % stack.row == 0 for block in blocks)
    else:
        assert all(block.models[0].numel() <= UNIT for block in blocks)


def test_rows():
    assert [Stack.of([torch.zeros(s)]).row for s in [(3, 4), (2, 3, 5), (7,), (), (0,), (4, 0)]] == [4, 5, 7, 1, 1, 1]


def test_differences_and_their_base():
    models, stack = stack_of((5,))
    (block,) = stack.blocks()
    base = block.base.clone()
    first, second = block.vectors()
    torch.testing.assert_close(second, models[1].double() - base)
    torch.testing.assert_close(block.on_base(first), models[0].double())
    models, stack = stack_of((5,), base=False)
    (block,) = stack.blocks()
    assert torch.equal(block.vectors()[0], models[0].double()) and not stack.has_base
    with pytest.raises(UserError, match="needs a base"):
        block.deltas()


def test_one_model_of_several():
    models, stack = stack_of((5,), seed=3)
    alone = stack.only(1)
    assert len(stack) == 2 and len(alone) == 1 and alone.seed == 3 and alone.has_base
    assert torch.equal(alone.read(1, 4)[0], models[1][1:4]) and len(stack.read(0, 5)) == 3


def test_sums_are_exact(monkeypatch):
    values = torch.tensor([1e16, 1.0, -1e16, 1.0] * 1000, dtype=torch.float64)
    monkeypatch.setattr(stack_module, "UNIT", 1)
    assert Stack.of([values]).sum(lambda block: block.models[0].sum()).item() == 2000
    with pytest.raises(UserError, match="empty"):
        Stack.of([torch.empty(0)]).sum(lambda block: block.models[0].sum())


@pytest.mark.parametrize("deltas", [False, True])
def test_gram(deltas, monkeypatch):
    models, stack = stack_of((70_000,), 3)
    values = np.array([m.double().numpy() for m in models]) - deltas * stack.read(0, 70_000)[-1].double().numpy()
    whole = stack.gram(deltas=deltas)
    np.testing.assert_allclose(whole, values @ values.T, rtol=1e-10)
    monkeypatch.setattr(stack_module, "UNIT", 999)
    np.testing.assert_allclose(stack_of((70_000,), 3)[1].gram(deltas=deltas), whole, rtol=1e-13)
    assert torch.equal(Stack.of([torch.empty(0)] * 2).gram(), torch.zeros(2, 2, dtype=torch.float64))


@settings(max_examples=40)
@given(st.data())
def test_random_numbers_do_not_depend_on_how_they_are_asked_for(data):
    stack = stack_of((3,), seed=7)[1]
    end = 70_001
    edges = sorted({0, end, *data.draw(st.lists(st.integers(0, end), max_size=5))})
    whole = stack.draws(1, 0, end)
    parts = [stack.draws(1, start, stop) for start, stop in itertools.pairwise(edges)]
    assert torch.equal(torch.cat(parts), whole) and whole.shape == (end,)


def test_random_numbers_depend_on_seed_name_and_model():
    def drawn(model=0, **of):
        return stack_of((3,), **of)[1].draws(model, 0, 1000).float()

    others = [drawn(1), drawn(seed=1), drawn(name="other"), stack_of((3,))[1].draws(0, 1000, 2000).float()]
    assert torch.equal(drawn(), drawn())
    for i, one in enumerate([drawn(), *others]):
        for other in [drawn(), *others][:i]:
            assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.2


def test_random_numbers_are_spread_evenly():
    """χ² over 256 intervals of neighbours' pairs; mean; no correlation at small distances."""
    count = 1 << 20
    drawn = (stack_of((3,))[1].draws(0, 0, count).double() / 2**16 + 0.5).numpy()
    assert drawn.min() >= 0 and drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 5 * math.sqrt(1 / 12 / count)
    for distance in (1, 2, 3, 4, 8):
        cells = np.floor(drawn[:-distance] * 16).astype(int) * 16 + np.floor(drawn[distance:] * 16).astype(int)
        expected = len(cells) / 256
        chi = ((np.bincount(cells, minlength=256) - expected) ** 2 / expected).sum()
        assert abs(chi - 255) < 6 * math.sqrt(2 * 255)


def test_stream_is_splitmix64():
    """The published test vector of seed 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert words(1234567, 0, 4).tolist() == published
    assert words(1234567, 2, 4).tolist() == published[2:]
    assert sixteen_bits(1234567, 4, 8).tolist() == [published[1] >> 16 * i & 0xFFFF for i in range(4)]
    assert words(0, 20_000, 20_001) == words(0, 0, 20_001)[-1:]


def test_narrow_stacks():
    slots = [stack_module.InMemory(torch.ones(4, dtype=torch.bfloat16))]
    (block,) = Stack("x", (4,), slots, dtype=torch.float32).blocks()
    assert block.models[0].dtype == torch.float32
