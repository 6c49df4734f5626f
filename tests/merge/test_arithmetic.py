from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.merge import arithmetic
from syn2real.merge.arithmetic import combine, round_into

BITS = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}
LOWEST = {torch.float32: -149, torch.float16: -24, torch.bfloat16: -133}


def nearest(value: Fraction, dtype: torch.dtype) -> Fraction:
    """Round an exact number to ``dtype`` with integers only; ties to even."""
    if value == 0:
        return value
    exponent = 0
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** max(exponent - BITS[dtype] + 1, LOWEST[dtype])
    return round(value / step) * step  # Fraction rounds ties to even


@pytest.mark.parametrize("dtype", BITS)
@given(
    values=st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=20),
    coefficients=st.lists(st.floats(-2, 2), min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_sums_are_correctly_rounded(dtype, values, coefficients):
    x = torch.tensor(values, dtype=torch.float32).to(dtype)
    pieces = [(c, x.roll(i)) for i, c in enumerate(coefficients)]
    result = combine(pieces, dtype)
    for i, got in enumerate(result.tolist()):
        exact = sum((Fraction(c) * Fraction(piece[i].item()) for c, piece in pieces), Fraction(0))
        wanted, tolerance = nearest(exact, dtype), Fraction(0)
        if Fraction(got) != wanted:  # allowed only if float64's own error moved the sum across a tie
            step = abs(Fraction(got) - wanted)
            size = sum(abs(Fraction(c) * Fraction(piece[i].item())) for c, piece in pieces)
            tolerance = size * Fraction(1, 2**50)
            assert abs(abs(exact - wanted) - step / 2) <= tolerance + Fraction(2) ** -149


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_no_double_rounding(dtype):
    """Just above a tie: float32 would round it onto the tie, and the tie to even, downwards."""
    half = 2.0 ** -BITS[dtype]
    values = torch.tensor(
        [1 + half + 2.0**-40, -(1 + half + 2.0**-40), 1 + half, 1 + half - 2.0**-40], dtype=torch.float64
    )
    result = torch.empty(4, dtype=dtype)
    round_into(result, values, torch.empty_like(values))
    assert result.tolist() == [1 + 2 * half, -(1 + 2 * half), 1.0, 1.0]
    assert values.to(torch.float32).to(dtype).tolist() != result.tolist()  # so the cast alone would fail this test


KINDS = {1: torch.int8, 2: torch.int16}
NARROW = [torch.float16, torch.bfloat16, torch.float8_e5m2, torch.float8_e4m3fn]


def neighbours(dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Every number of a dtype that is not negative, but for bfloat16's subnormals, and the next; as float64."""
    kind = KINDS[dtype.itemsize]
    numbers = torch.arange(torch.iinfo(kind).max, dtype=kind).view(dtype).double()
    numbers = numbers[numbers.isfinite()]
    if dtype == torch.bfloat16:
        numbers = numbers[numbers >= 2 * torch.finfo(dtype).smallest_normal]
    return numbers[:-1], numbers[1:]


@pytest.mark.parametrize("dtype", NARROW)
def test_halfway_between_any_two_neighbours(dtype):
    """Ties go to the even one, and whatever lies beside a tie to the nearer, the smallest numbers included."""
    low, high = neighbours(dtype)
    tie = (low + high) / 2
    even = torch.where(low.to(dtype).view(KINDS[dtype.itemsize]) % 2 == 0, low, high)
    for sign in (1, -1):
        for values, wanted in ((tie, even), (tie * (1 + 2.0**-40), high), (tie * (1 - 2.0**-40), low)):
            result = torch.empty(len(tie), dtype=dtype)
            round_into(result, sign * values, torch.empty_like(values))
            assert torch.equal(result.double(), sign * wanted)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("share", [0.3, 0.7, 1.3])
def test_between_a_tie_and_the_float32_beside_it(dtype, share):
    """What float32 rounds to the neighbour of a tie is not taken on to the tie, the smallest numbers included."""
    low, high = neighbours(dtype)
    tie = ((low + high) / 2).float()
    for end, wanted in ((0.0, low), (torch.inf, high)):
        beside = torch.nextafter(tie, torch.full_like(tie, end)).double()
        values, result = tie.double() + share * (beside - tie.double()), torch.empty(len(tie), dtype=dtype)
        for sign in (1, -1):
            round_into(result, sign * values, torch.empty_like(values))
            assert torch.equal(result.double(), sign * wanted)


def test_float16_agrees_with_numpy_everywhere():
    values = np.random.default_rng(0).normal(size=200_000) * 10.0 ** np.random.default_rng(1).integers(-9, 6, 200_000)
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)  # numpy rounds float64 to float16 once
    result = torch.empty(len(values), dtype=torch.float16)
    round_into(result, torch.from_numpy(values), torch.empty(len(values), dtype=torch.float64))
    assert np.array_equal(result.numpy().view(np.uint16), wanted.view(np.uint16))


def test_special_values_survive():
    values = torch.tensor([float("inf"), float("-inf"), float("nan"), 0.0, -0.0, 1e300])
    for dtype in BITS:
        result = combine([(1.0, values.double()), (0.0, torch.zeros(6))], dtype)
        assert result[:2].tolist() == [float("inf"), float("-inf")]
        assert result[2].isnan() and result[5] == float("inf")


@pytest.mark.parametrize("dtype", BITS)
def test_chunks_do_not_matter(dtype, monkeypatch):
    pieces = [(c, torch.randn(1000).to(dtype)) for c in (1.0, 0.3, -0.3)]
    whole = combine(pieces, dtype)
    monkeypatch.setattr(arithmetic, "CHUNK", 7)
    assert torch.equal(combine(pieces, dtype), whole)
    parts = [combine([(c, x[i : i + 13]) for c, x in pieces], dtype) for i in range(0, 1000, 13)]
    assert torch.equal(torch.cat(parts), whole)


def test_a_single_piece_is_passed_on():
    x = torch.tensor([1.0, float("nan")], dtype=torch.float16)
    assert combine([(1.0, x)], torch.float16) is x


def test_an_empty_sum_is_refused():
    with pytest.raises(ValueError, match="empty sum"):
        combine([], torch.float32)
    assert combine([(0.5, torch.empty(0))], torch.float32).numel() == 0
