"""Draws with replacement, flips of signs, and the correction of many tests, beside what each is defined to be."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.resampling import holm, resample, resample_alike, resample_kinds, sign_flips

WORDS = 10
PS = st.lists(st.floats(0, 1), max_size=12)


@given(st.integers(1, 9), st.integers(1, 30), st.integers(0, 5))
def test_resample_sums_the_same_samples_over_every_column(units: int, draws: int, seed: int) -> None:
    counts = np.random.default_rng(1).integers(0, 50, (units, 3, 2))
    random = np.random.default_rng(seed)
    expected = [counts[random.integers(0, units, units)].sum(axis=0) for _ in range(draws)]
    np.testing.assert_array_equal(resample(counts, draws, seed), expected)
    np.testing.assert_array_equal(resample(counts[:, 1], draws, seed), np.array(expected)[:, 1])


@pytest.mark.parametrize("paired_too", [False, True])
def test_many_units_are_drawn_as_few_are(paired_too: bool) -> None:
    """Units of equal counts drawn together: the same law as drawn one by one."""
    random = np.random.default_rng(13)
    counts = np.stack([random.binomial(WORDS, 0.2, 12_000), np.full(12_000, WORDS)], axis=1)
    if paired_too:
        counts = np.stack([counts, np.roll(counts, 1, axis=0)], axis=1)
    found, expected = resample_alike(counts, 4000), resample(counts, 4000)
    assert found.shape == expected.shape and (found[..., 1] == WORDS * 12_000).all()
    for law in (found, expected):
        assert law[..., 0].mean(axis=0) == pytest.approx(counts[..., 0].sum(axis=0), rel=1e-3)
    assert found[..., 0].std(axis=0) == pytest.approx(expected[..., 0].std(axis=0), rel=0.05)
    np.testing.assert_array_equal(resample_alike(counts[:9000], 20), resample(counts[:9000], 20))


def test_kinds_are_drawn_as_often_as_their_units() -> None:
    """However the units are sorted into kinds, the sums have one law, and all that is drawn is as many as there are."""
    kinds, times = np.array([[1.0, 1.0], [0.0, 1.0], [2.5, 1.0]]), np.array([30, 50, 20])
    found = resample_kinds(kinds, times, 4000)
    assert (found[:, 1] == 100).all()
    expected = resample(np.repeat(kinds, times, axis=0), 4000)
    assert found[:, 0].mean() == pytest.approx(80, abs=1) and found[:, 0].std() == pytest.approx(
        expected[:, 0].std(), rel=0.05
    )
    np.testing.assert_array_equal(found[:500], resample_kinds(kinds, times, 500))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=7))
def test_sign_flips_try_every_choice(gaps: list[tuple[int, int]]) -> None:
    found = sign_flips(np.array(gaps))
    for p, column in zip(found, zip(*gaps, strict=True), strict=True):
        sums = [sum(s * g for s, g in zip(signs, column, strict=True)) for signs in product((1, -1), repeat=len(gaps))]
        assert p == sum(abs(value) >= abs(sum(column)) for value in sums) / len(sums)


def test_random_sign_flips_agree_with_all_of_them() -> None:
    gaps = np.random.default_rng(11).integers(-6, 9, (16, 4))
    padded = np.vstack([gaps, np.zeros((1, 4), dtype=int)])  # a unit without a difference changes nothing
    assert sign_flips(padded, 20_000) == pytest.approx(sign_flips(gaps), abs=0.015)


def test_sign_flips_of_many_units() -> None:
    """Those with equal differences are drawn at once; so many sums follow the normal law."""
    gaps = np.zeros((20_000, 3), dtype=int)
    gaps[:5000, 0], gaps[5000:9850, 0] = 1, -1
    gaps[::4, 1], gaps[:4900, 1] = 2, -2
    z = np.abs(gaps.sum(axis=0)) / np.sqrt((gaps**2).sum(axis=0) + 1e-9)
    wanted = [math.erfc(value / math.sqrt(2)) for value in z]
    assert wanted == pytest.approx([0.131, 0, 1], abs=0.001)
    assert sign_flips(gaps, 20_000) == pytest.approx(wanted, abs=0.015)


def test_sign_flips_hold_for_few_speakers_where_the_bootstrap_does_not() -> None:
    random, trials = np.random.default_rng(12), 500
    words = random.integers(60, 260, (8, trials))
    skill = np.clip(random.normal(0.22, 0.08, (8, trials)), 0.02, 0.8)
    partial = random.normal(0, 0.03, (8, trials))  # to one system or the other, by voice; none is better
    a, b = (random.binomial(words, np.clip(skill + side * partial, 0, 1)) for side in (0.5, -0.5))
    rejected = (sign_flips(a - b) < 0.05).mean()
    assert rejected <= 0.07
    sums = resample(np.stack([a - b, words], axis=2), 300)
    low, high = np.quantile(sums[..., 0] / sums[..., 1], [0.025, 0.975], axis=0)
    assert ((low > 0) | (high < 0)).mean() > rejected + 0.03


def test_equal_sums_of_fractions_are_ties() -> None:
    """Thirds, as three models of each kind make them: a rounding does not tell two sums apart."""
    whole = np.array([[2], [-1], [1], [1], [3], [-2], [1]])
    assert sign_flips(whole / 3) == sign_flips(whole)


@given(PS)
def test_holm_is_the_step_down_procedure(ps: list[float]) -> None:
    corrected = holm(ps)
    for level in (0.01, 0.05, 0.2, 0.5):
        # As it is told: from the least p upwards, reject while p ≤ level / (hypotheses left), then stop.
        rejected = set()
        for step, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
            if (len(ps) - step) * ps[index] > level:
                break
            rejected.add(index)
        assert {index for index, p in enumerate(corrected) if p <= level} == rejected


@given(PS, st.randoms())
def test_holm_keeps_order_and_lies_between_p_and_bonferroni(ps: list[float], random: "object") -> None:
    corrected = holm(ps)
    assert all(p <= c <= min(1, len(ps) * p) for p, c in zip(ps, corrected, strict=True))
    by_p = [c for _, c in sorted(zip(ps, corrected, strict=True))]
    assert by_p == sorted(by_p)
    order = list(range(len(ps)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert holm([ps[index] for index in order]) == [corrected[index] for index in order]


def test_holm_wants_probabilities() -> None:
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.5, wrong])
