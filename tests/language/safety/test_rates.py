"""Shares, paired tests and agreement, against published and independent figures."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.language.safety.rates import Agreement, Paired, Share


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_as_published(count, total, low, high):
    assert Share(count, total).interval() == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 400), st.data())
def test_the_interval_holds_the_rate_and_mirrors(total, data):
    count = data.draw(st.integers(0, total))
    low, high = Share(count, total).interval()
    assert 0 <= low <= count / total <= high <= 1
    other = Share(total - count, total).interval()
    assert other == (pytest.approx(1 - high), pytest.approx(1 - low))


def test_of_none_there_is_no_rate():
    assert Share(0, 0).rate is None and Share(0, 0).interval() is None
    assert Paired.of([], []).difference is None and Paired.of([], []).interval() is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_is_the_binomial_test_of_the_discordant(pairs):
    test = Paired.of(*map(list, zip(*pairs, strict=True)))
    b, n = test.only_first, test.only_first + test.only_second
    chances = [comb(n, k) / 2**n for k in range(n + 1)]
    assert test.p == pytest.approx(sum(p for p in chances if p <= chances[b] * (1 + 1e-9)))


def test_the_difference_and_its_interval():
    first = [True] * 60 + [False] * 40
    second = [True] * 30 + [False] * 70
    test = Paired.of(first, second)
    assert (test.only_first, test.only_second, test.difference) == (30, 0, 0.3)
    low, high = test.interval()
    # Of a binomial share of 30 in 100.
    assert low == pytest.approx(0.21, abs=0.011) and high == pytest.approx(0.39, abs=0.011)
    assert test.p < 1e-8


def test_kappa_as_cohens_definition_has_it():
    rng = np.random.default_rng(0)
    first = rng.random(500) < 0.4
    second = np.where(rng.random(500) < 0.8, first, rng.random(500) < 0.5)
    found = Agreement.of([*first.tolist(), None], [*second.tolist(), True])
    assert found.total == 500
    seen, expected = (first == second).mean(), first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean())
    assert found.kappa == pytest.approx((seen - expected) / (1 - expected))
    assert Agreement.of([True, True], [True, True]).kappa is None
    assert Agreement.of([], []).kappa is None
