"""Sums of three models meet where they should, and of a noisy plane the likely best is found."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from syn2real.experiments.making import REAL, SYNTHETIC, Chosen
from syn2real.experiments.pipeline import Blend, Difference
from syn2real.experiments.recipe import SUMS
from syn2real.experiments.results import CurvePoint, best_scale, likely_scale
from syn2real.experiments.stages import Stage
from syn2real.experiments.sums import Trio, likely_sum, place, tried
from syn2real.merge import Checkpoint

GRID = (0, 0.3, 0.5, 0.7, 1.0, 1.3)


@pytest.fixture
def weights(tmp_path):
    """θ_real^S, θ_syn^S and θ_syn^T of one tensor."""
    found = {}
    for number, name in enumerate(("real", "synthetic", "target")):
        found[name] = torch.randn(5, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
        (tmp_path / name).mkdir()
        save_file({"weight": found[name].float()}, tmp_path / name / "model.safetensors")
        found[name] = found[name].float().double()
    return tmp_path, found


@pytest.mark.parametrize("way", SUMS)
@pytest.mark.parametrize("scale", GRID)
def test_a_sum_is_the_point_of_the_plane_that_it_says(weights, way, scale):
    folder, models = weights
    stages = {name: (lambda name=name: Stage(name, name, folder / name)) for name in models}
    blend = Trio(**stages).blend(way)
    u, v = place(way, scale)
    real, synthetic, target = models["real"], models["synthetic"], models["target"]
    expected = target + u * (real - synthetic) - v * (target - synthetic)
    torch.testing.assert_close(added(blend, scale).double(), expected, rtol=1e-6, atol=1e-6)


def added(blend: Blend, scale: float) -> torch.Tensor:
    return (Checkpoint.open(blend.anchor.directory) + scale * blend.difference.vector()).tensor("weight")


def test_a_sum_makes_no_model_that_it_does_not_need():
    def refused() -> Stage:
        raise AssertionError("θ_syn^S is no part of the average")

    one = Stage("one", "one", None)
    assert Trio(lambda: one, refused, lambda: one).blend("average").anchor is one


def plane(best: tuple[float, float], floor: float) -> dict[str, np.ndarray]:
    """Errors on the three sides of the triangle, which rise with the square of how far (u, v) is from the best."""
    away = {way: np.array([place(way, scale) for scale in GRID]) - best for way in SUMS}
    return {way: floor * (1 + 0.8 * (d**2).sum(axis=1) + 0.5 * d.prod(axis=1)) for way, d in away.items()}


def curves(errors: dict[str, np.ndarray]) -> dict[str, list[CurvePoint]]:
    return {way: [CurvePoint(s, int(e), 500) for s, e in zip(GRID, row, strict=True)] for way, row in errors.items()}


@pytest.mark.parametrize("way, scale", [("syn2real", 0.7), ("text-on-real", 0.3), ("average", 0.5)])
def test_the_best_is_found_where_nothing_is_noisy(way, scale):
    assert likely_sum(curves({k: 1000 * row for k, row in plane(place(way, scale), 1).items()})) == (way, scale)


@pytest.mark.parametrize("way, scale", [("syn2real", 0.7), ("text-on-real", 0.3), ("average", 0.5)])
def test_noise_costs_less_than_by_the_fewest_errors(way, scale):
    """Errors of a proxy of some 40 clips, drawn 200 times: what either rule loses against the true best."""
    random, truth = np.random.default_rng(0), plane(place(way, scale), 60)
    lost = {"surface": 0.0, "fewest": 0.0}
    for _ in range(200):
        drawn = curves({name: random.poisson(row) for name, row in truth.items()})
        fewest = min(SUMS, key=lambda name: min(point.errors for point in drawn[name]))
        for rule, (found, at) in {"surface": likely_sum(drawn), "fewest": (fewest, best_scale(drawn[fewest]))}.items():
            lost[rule] += truth[found][GRID.index(at)] - 60
    assert lost["surface"] < 0.75 * lost["fewest"]


def test_one_sum_alone_has_its_own_likely_scale():
    errors = curves({"average": np.array([60, 52, 47, 46, 50, 61])})
    assert likely_sum(errors) == ("average", likely_scale(errors["average"]))


@pytest.mark.parametrize("way", SUMS)
def test_an_adapted_model_is_the_sum_that_was_chosen(way):
    real, synthetic, target = (Stage(name, name, None) for name in ("real", "synthetic", "target"))
    vector = Difference.between(real, synthetic)
    chosen = Chosen(vector, 0.7, ["food"], {}, {REAL: real, SYNTHETIC: synthetic}, way)
    expected = Trio(lambda: real, lambda: synthetic, lambda: target).blend(way)
    assert chosen.blend(target).key(0.7) == expected.key(0.7)


def test_an_average_lies_between_its_models():
    assert tried("average", (-0.5, 0, 0.5, 1, 1.3)) == (0, 0.5, 1)
    assert tried("text-on-real", (-0.5, 0, 0.5, 1, 1.3)) == (-0.5, 0, 0.5, 1, 1.3)


def test_of_equal_sums_the_first_and_the_smallest_scale():
    assert likely_sum(curves({way: np.full(len(GRID), 50.0) for way in SUMS})) == ("syn2real", 0)
