"""λ is where the fitted curve is lowest, not where a word more or less happens to fall."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syn2real.experiments.grid_recipe import ScaleRecipe
from syn2real.experiments.results import CurvePoint, at_end, best_scale, likely_scale
from syn2real.experiments.scales import by_others, choose, choose_groups
from syn2real.speech.scoring import Pair, score

GRID = (0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6)


def curve(errors, grid=GRID):
    return [CurvePoint(scale, int(count), 200) for scale, count in zip(grid, errors, strict=True)]


def lopsided(best, floor=60):
    """Errors that fall slowly and rise fast; whole numbers, as words are."""
    return [floor + 25 * (scale - best) ** 2 + 12 * (scale - best) ** 3 * (scale > best) for scale in GRID]


def test_one_lucky_point_does_not_choose():
    errors = np.round(lopsided(0.7))
    errors[-2] = errors.min() - 1
    assert best_scale(curve(errors)) == 1.3
    assert likely_scale(curve(errors)) in (0.7, 0.85)


@pytest.mark.parametrize("best", [0.3, 0.5, 0.85, 1.0, 1.3])
def test_it_is_the_best_or_its_neighbour_where_nothing_is_noisy(best):
    found = likely_scale(curve(np.round(10 * np.array(lopsided(best)))))
    assert abs(GRID.index(found) - GRID.index(best)) <= 1


@pytest.mark.parametrize("best", [0.5, 0.8, 1.0])
def test_noise_costs_less_than_by_the_fewest_errors(best):
    """Errors of some 40 clips at each λ, drawn 400 times: what either rule loses against the true best."""
    random, truth = np.random.default_rng(0), np.array(lopsided(best))
    lost = {likely_scale: 0.0, best_scale: 0.0}
    for _ in range(400):
        drawn = curve(random.poisson(truth))
        for rule in lost:
            lost[rule] += truth[GRID.index(rule(drawn))] - truth.min()
    assert lost[likely_scale] < 0.75 * lost[best_scale]


@given(st.lists(st.integers(0, 300), min_size=9, max_size=9), st.integers(1, 5))
def test_it_is_one_of_those_tried_and_does_not_depend_on_how_many_words_there_were(errors, times):
    found = likely_scale(curve(errors))
    assert found in GRID
    assert likely_scale(curve([times * count for count in errors])) == found


def test_of_few_or_equal_points_the_fewest_errors_or_the_smallest_decide():
    assert likely_scale(curve([5, 5], (0, 0.5))) == 0
    assert likely_scale(curve([9, 1, 9], (0, 40, 80))) == 40
    assert likely_scale(curve([7] * 9)) == 0
    assert likely_scale([CurvePoint(0.4, 3, 10)]) == 0.4


def test_a_scale_at_the_end_of_the_grid_is_pointed_out():
    falling = curve([90, 80, 70, 60, 50, 40, 30, 20, 10])
    assert "widen" in at_end("syn2real", likely_scale(falling), falling, "lambdas")
    assert at_end("syn2real", 0.7, falling, "lambdas") == ""


def test_an_average_ends_at_its_second_model():
    assert at_end("average", 1, curve([90, 50, 40], (0, 0.5, 1)), "lambdas") == ""
    assert "widen" in at_end("average", 0.5, curve([90, 60, 50], (0, 0.3, 0.5)), "lambdas")


def test_the_key_that_is_to_be_widened_is_the_recipes():
    falling, scale = curve([90, 80, 70, 60, 50, 40, 30, 20, 10]), ScaleRecipe()
    for system, key in (("syn2real-domains", "lambda.domains_grid"), ("syn2real-mixed", "lambda.grid")):
        assert at_end(system, falling[-1].scale, falling, scale.key_of(system)).endswith(f"widen `{key}`")
    for key in (scale.key_of(system) for system in ("syn2real", "syn2real-domains")):
        assert key.removeprefix("lambda.") in ScaleRecipe.model_fields


def test_groups_keep_what_they_have_unless_a_change_pays():
    def errors(scale):
        encoder = scale if isinstance(scale, float | int) else scale["encoder"]
        return round(100 * (encoder - 1.5) ** 2 + 10), 100

    whole = choose(errors, GRID, "proxies", ["a"])
    found = choose_groups(errors, whole, ["encoder", "decoder"], [0.5, 1.25])
    assert whole.number == 1.6 and found.scale == {"encoder": 1.6, "decoder": 1.6, "other": 1.6}


def heard(speakers, wrong):
    """Scores at every λ of sentences of ten words, of which so many are wrong there."""

    def said(place, speaker, count):
        return Pair(str(place), "a " * 10, "b " * count + "a " * (10 - count), speaker)

    columns = zip(GRID, zip(*wrong, strict=True), strict=True)
    return {scale: score(map(said, range(len(speakers)), speakers, counts)) for scale, counts in columns}


def test_for_each_speaker_the_labels_of_the_others_choose():
    rising, falling = list(range(9)), list(range(8, -1, -1))
    scores = heard("aabc", [rising, rising, rising, falling])
    found = by_others(scores)
    assert found.ids == scores[0].ids and found.normaliser == scores[0].normaliser
    # What others say, summed, rises for all of them; c alone would choose the largest λ.
    assert [one.counts.errors for one in found] == [0, 0, 0, 8]
    # Of one speaker alone each sentence is chosen for by the rest; of one sentence nothing is.
    assert [one.counts.errors for one in by_others(heard("aa", [rising, falling]))] == [8, 8]
    assert by_others(heard("a", [rising])) is None
