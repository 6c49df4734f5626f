"""Points of arcs and means of directions, against the vectors themselves."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.merge.spherical import karcher_weights, slerp_weights


def gram(*vectors):
    stacked = torch.tensor(np.array(vectors, dtype=np.float64))
    return stacked @ stacked.T


def on_circle(angle, length=1.0):
    return length * np.array([math.cos(angle), math.sin(angle)])


@given(st.floats(1e-4, math.pi - 1e-4), st.floats(-0.5, 1.5), st.floats(0.1, 10))
def test_arcs_turn_evenly(angle, t, length):
    a, b = on_circle(0.2, length), on_circle(0.2 + angle, length)
    first, second = slerp_weights(gram(a, b), t)
    np.testing.assert_allclose(first * a + second * b, on_circle(0.2 + t * angle, length), atol=1e-10 * length)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-7, 1e-5, 1e-3])
def test_near_parallel_arcs_are_continuous(angle):
    a, b = on_circle(0.0), on_circle(angle)
    first, second = slerp_weights(gram(a, b), 0.25)
    np.testing.assert_allclose(first * a + second * b, on_circle(angle / 4), atol=1e-8)


def test_beside_zero_a_line():
    assert slerp_weights(gram([0, 0], [3, 4]), 0.25) == (0.75, 0.25)
    assert slerp_weights(gram([3, 4], [0, 0]), 0.25) == (0.75, 0.25)


def test_antiparallel_the_nearer_end():
    assert [slerp_weights(gram([1, 2], [-2, -4]), t) for t in (0, 0.5, 0.51, 1)] == [(1, 0), (1, 0), (0, 1), (0, 1)]


@settings(max_examples=50)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_karcher_mean_has_no_gradient(seed, count):
    random = np.random.default_rng(seed)
    vectors = random.standard_normal(6) + 0.5 * random.standard_normal((count, 6))
    shares = random.uniform(0.1, 1, count)
    shares /= shares.sum()
    mean = np.array(karcher_weights(gram(*vectors), shares.tolist(), steps=200, tolerance=1e-13)) @ vectors
    norms = np.linalg.norm(vectors, axis=1)
    assert np.linalg.norm(mean) == pytest.approx(shares @ norms)
    mean /= np.linalg.norm(mean)
    units = vectors / norms[:, None]
    cosines = units @ mean
    across = units - cosines[:, None] * mean
    logarithms = across / np.linalg.norm(across, axis=1)[:, None] * np.arccos(np.clip(cosines, -1, 1))[:, None]
    np.testing.assert_allclose(shares @ logarithms, 0, atol=1e-9)


@settings(max_examples=50)
@given(st.floats(0.01, 3.0), st.floats(0.01, 0.99))
def test_the_mean_of_two_lies_on_their_arc(angle, share):
    a, b = on_circle(0.0), on_circle(angle)
    for steps in (1, 100):
        weights = karcher_weights(gram(a, b), [1 - share, share], steps=steps, tolerance=1e-13)
        np.testing.assert_allclose(weights, slerp_weights(gram(a, b), share), atol=1e-6)


def test_directions_that_cancel_are_summed():
    assert karcher_weights(gram([1, 0], [-1, 0]), [1, 1], steps=10, tolerance=1e-9) == [0.5, 0.5]


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("size", [1, 100, 1000])
def test_what_is_opposite_to_the_mean_only_lengthens(steps, size):
    """Numbers, and long vectors whose products are rounded."""
    vector = np.random.default_rng(size).normal(size=size)
    for factors, expected in (((0.3, 0.4, -0.5), 0.4), ((1.0, 0.8, -0.9), 0.9), ((-1.0, 0.7, -1.0, -0.1), -0.7)):
        vectors = [factor * vector for factor in factors]
        weights = karcher_weights(gram(*vectors), [1] * len(factors), steps=steps, tolerance=1e-9)
        np.testing.assert_allclose(np.array(weights) @ vectors, expected * vector, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_long_directions_that_cancel_are_summed(size):
    vector = np.random.default_rng(size).normal(size=size)
    for factors in ((1.0, -0.7), (0.3, -0.2, 0.1, -0.4)):
        vectors = [factor * vector for factor in factors]
        weights = karcher_weights(gram(*vectors), [1] * len(factors), steps=10, tolerance=1e-9)
        assert weights == [1 / len(factors)] * len(factors)


def test_zero_vectors_only_shorten():
    weights = karcher_weights(gram([3, 0], [0, 0], [5, 0]), [1, 1, 1], steps=10, tolerance=1e-9)
    mean = np.array(weights) @ np.array([[3, 0], [0, 0], [5, 0]])
    np.testing.assert_allclose(mean, [8 / 3, 0])
    assert weights[1] == 0


def test_all_zero():
    assert karcher_weights(gram([0, 0], [0, 0]), [1, 3], steps=10, tolerance=1e-9) == [0.25, 0.75]
