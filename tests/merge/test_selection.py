"""The k largest by threshold, against a full sort, on what could mislead a sample."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.merge import selection
from syn2real.merge.selection import Cut, largest
from syn2real.merge.stack import Stack
from syn2real.merge.trimming import Magnitudes, Trim, cuts, kept

N = 70_000  # several samples, several blocks
RANDOM = np.random.default_rng(0)
STRIDE = max(1, N // selection.SAMPLE) | 1

INPUTS = {
    "all equal": np.full(N, 0.25),
    "all zero": np.zeros(N),
    "two values": (np.arange(N) % 3 == 0).astype(float),
    "quantised": np.round(np.abs(RANDOM.standard_normal(N)) * 4) / 4,
    "bfloat16": torch.from_numpy(np.abs(RANDOM.standard_normal(N))).bfloat16().double().numpy(),
    "rising": np.arange(N, dtype=float),
    "falling": np.arange(N, dtype=float)[::-1].copy(),
    "huge range": 10.0 ** RANDOM.uniform(-300, 300, N),
    "subnormal": RANDOM.uniform(0, 5e-310, N),
    "with infinity": np.where(np.arange(N) % 1000 == 0, np.inf, RANDOM.random(N)),
    "one large": np.where(np.arange(N) == 12_345, 1e30, 1e-30),
    # All that the sample sees is large, or small, or tells of the wrong share.
    "sampled are large": np.where(np.arange(N) % STRIDE == 0, 10.0, RANDOM.random(N)),
    "sampled are small": np.where(np.arange(N) % STRIDE == 0, 0.0, RANDOM.random(N)),
    "sampled are equal": np.where(np.arange(N) % STRIDE == 0, 0.5, RANDOM.random(N)),
    "sampled are extreme": np.where(np.arange(N) % STRIDE == 0, np.arange(N) % 2 * 1e9, RANDOM.random(N)),
}
KEEP = [0, 1, 2, 699, N // 5, N // 2, N // 2 + 1, N - 700, N - 1, N]


def blocks(values, size=9_999):
    return [torch.from_numpy(values[start : start + size]) for start in range(0, len(values), size)]


def by_sorting(values, keep):
    mask = np.zeros(len(values), bool)
    mask[np.argsort(-values, kind="stable")[:keep]] = True
    return mask


def selected(values, keep, size=9_999):
    cut = largest(lambda: blocks(values, size), len(values), keep)
    masks, left = [], cut.ties
    for block in blocks(values, size):
        mask, left = cut.mask(block, left)
        masks.append(mask)
    return torch.cat(masks).numpy()


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("few", [False, True])
def test_equals_a_full_sort(name, few, monkeypatch):
    if few:
        monkeypatch.setattr(selection, "KEPT", 3)
    for keep in KEEP:
        np.testing.assert_array_equal(selected(INPUTS[name], keep), by_sorting(INPUTS[name], keep), f"{keep}")


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, allow_nan=False)), min_size=1, max_size=60),
    st.data(),
)
def test_equals_a_full_sort_of_any_numbers(values, data):
    values = np.array(values)
    keep = data.draw(st.integers(0, len(values)))
    np.testing.assert_array_equal(selected(values, keep, data.draw(st.integers(1, 61))), by_sorting(values, keep))


def test_a_single_element_and_none():
    assert selected(np.array([0.0]), 1).tolist() == [True]
    assert largest(lambda: [], 0, 0) == Cut(float("inf"), 0)


@pytest.mark.parametrize("keep", [-1, 4])
def test_more_than_there_are(keep):
    with pytest.raises(ValueError, match="of 3"):
        largest(lambda: [torch.ones(3)], 3, keep)


@pytest.mark.parametrize("place", [0, 12_345, N - 1])
def test_nan_is_found_wherever_it_is(place):
    values = INPUTS["rising"].copy()
    values[place] = np.nan
    with pytest.raises(UserError, match="NaN"):
        selected(values, 5)


def test_negative_numbers_do_not_go_on_for_ever():
    with pytest.raises(ValueError, match="non-negative"):
        largest(lambda: [torch.tensor([-3.0, -2.0, -5.0])], 3, 2)


def test_few_passes():
    """Two for numbers of no pattern: the sample, and the count."""
    for name in ("bfloat16", "huge range", "rising"):
        passes = []
        values = INPUTS[name]
        largest(lambda: passes.append(1) or blocks(values), N, N // 5)  # noqa: B023
        assert len(passes) == 2, name


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(dtype, scale) for dtype in (torch.bfloat16, torch.float32, torch.float64) for scale in (1e-30, 1.0, 1e30)]
    + [(torch.float16, 1.0), (torch.float16, 1e-7), (torch.float8_e5m2, 1.0)]
    + [(torch.float64, 1e300), (torch.float64, 1e-300), (torch.float64, 3e38), (torch.float64, 1e-45)],
)
def test_differences_in_every_dtype(dtype, scale):
    """Screened in a narrower width, whose range some exceed; as exact as in float64."""
    generator = torch.Generator().manual_seed(1)
    base = (torch.randn(N, generator=generator, dtype=torch.float64) * scale).to(dtype)
    model = (base.double() + torch.randn(N, generator=generator, dtype=torch.float64) * scale / 64).to(dtype)
    values = (model.double() - base.double()).abs().numpy()
    stack = Stack.of([model], base)
    for keep in KEEP:
        (cut,) = cuts(stack, [keep])
        trim = Trim([cut])
        found = np.concatenate([trim.dropped(block)[0].numpy() != 0 for block in stack.blocks()])
        np.testing.assert_array_equal(found, by_sorting(values, keep) & (values > 0))


def test_differences_that_float32_cannot_tell_apart():
    base = torch.full((N,), 2.0**30)
    model = torch.arange(N) * 2.0**-60  # θ₁ − θ₀ needs more than 24 bits, and more than 53: all are equal
    model[500:700] = -1.0
    assert len(set((model.double() - base.double()).tolist())) == 2
    (cut,) = cuts(Stack.of([model], base), [300])
    assert cut == Cut(2.0**30, 100)


def test_mixed_dtypes():
    base = torch.ones(N, dtype=torch.bfloat16)
    model = 1 + torch.randperm(N, generator=torch.Generator().manual_seed(0)).double() * 1e-14
    (cut,) = cuts(Stack.of([model], base), [5])
    assert cut == Cut(float(model.sort().values[-5]) - 1, 1)


def test_inputs_are_left_as_they_are():
    model, base = torch.rand(N, dtype=torch.float64), torch.rand(N, dtype=torch.float64)
    before = model.clone(), base.clone()
    stack = Stack.of([model], base)
    trim = Trim(cuts(stack, [N // 3]))
    for block in stack.blocks():
        trim.dropped(block)
    assert torch.equal(model, before[0]) and torch.equal(base, before[1])


def test_over_several_tensors():
    whole = torch.from_numpy(INPUTS["quantised"])
    parts = [whole[:10], whole[10:50_000], whole[50_000:50_000], whole[50_000:]]
    stacks = [Stack.of([part], torch.zeros_like(part), name=str(i)) for i, part in enumerate(parts)]
    for keep in KEEP[1:-1]:
        assert largest(Magnitudes(stacks, 0), N, keep) == largest(lambda: [whole], N, keep)


@settings(max_examples=50)
@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), max_size=40), st.data())
def test_trimming_is_masking(values, data):
    values = torch.tensor(values, dtype=torch.float64)
    cut = largest(lambda: [values.abs()], len(values), data.draw(st.integers(0, len(values))))
    left = also = cut.ties
    for part in values.split(7):
        mask, left = cut.mask(part.abs(), left)
        trimmed, also = cut.trim(part.clone(), also)
        assert torch.equal(trimmed, part * mask) and (cut.value == 0 or also == left)


def test_how_many_are_kept():
    assert [kept(0.5, 7), kept(0.01, 7), kept(0, 7), kept(1, 7), kept(0.5, 0)] == [3, 1, 0, 7, 0]
