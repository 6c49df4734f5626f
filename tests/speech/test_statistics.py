import math

import numpy as np
import pytest

from syn2real.errors import UserError
from syn2real.resampling import resample
from syn2real.speech.scoring import ErrorCounts, ScoredUtterance, Scores
from syn2real.speech.statistics import (
    Replicates,
    bootstrap_interval,
    mapsswe,
    paired,
    paired_test,
)

WORDS = 10


def scores(errors: np.ndarray | list[int], speakers: list[str] | None = None, words: int = WORDS) -> Scores:
    return Scores(
        tuple(
            ScoredUtterance(
                f"u{index:04d}",
                ErrorCounts(hits=words - int(wrong), substitutions=int(wrong), utterances=1),
                "",
                "",
                speakers[index] if speakers else None,
            )
            for index, wrong in enumerate(errors)
        ),
        "none",
    )


def shuffled(system: Scores, seed: int) -> Scores:
    order = np.random.default_rng(seed).permutation(len(system))
    return Scores(tuple(system.utterances[index] for index in order), system.normaliser, system.unit)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random, truth, inside, trials = np.random.default_rng(0), 0.2, 0, 300
    for _ in range(trials):
        interval = bootstrap_interval(scores(random.binomial(WORDS, truth, 80)), draws=400)
        inside += interval.low <= truth <= interval.high
    assert 0.90 <= inside / trials <= 0.99


def test_interval_agrees_with_the_normal_law() -> None:
    errors = np.random.default_rng(1).binomial(WORDS, 0.2, 2000)
    interval = bootstrap_interval(scores(errors))
    half = 1.96 * errors.std() / WORDS / math.sqrt(len(errors))
    rate = errors.mean() / WORDS
    assert (interval.low, interval.high) == pytest.approx((rate - half, rate + half), abs=half * 0.06)
    assert (interval.unit, interval.units, interval.draws, interval.level) == ("utterance", 2000, 10_000, 0.95)


def test_speakers_widen_the_interval_of_clustered_data() -> None:
    random = np.random.default_rng(2)
    skill = np.repeat(random.uniform(0.05, 0.6, 10), 30)  # ten voices, thirty clips each
    errors = random.binomial(WORDS, skill)
    apart = bootstrap_interval(scores(errors))
    together = bootstrap_interval(scores(errors, [f"s{index // 30}" for index in range(300)]))
    assert (together.unit, together.units) == ("speaker", 10)
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_one_voice_or_an_unnamed_one_falls_back_to_utterances() -> None:
    errors = [0, 1, 2, 3]
    assert bootstrap_interval(scores(errors, ["s"] * 4)).unit == "utterance"
    some = scores(errors, ["s", "t", "t", "s"])
    unnamed = Scores((*some.utterances, *scores([0] * 5).utterances[4:]), "none")
    assert bootstrap_interval(unnamed).unit == "utterance"


def test_empty_references_do_not_enter() -> None:
    system = scores([0, 5, 2])
    silent = ScoredUtterance("zz", ErrorCounts(empty_insertions=9, utterances=1), "", "x")
    assert bootstrap_interval(Scores((*system.utterances, silent), "none")) == bootstrap_interval(system)


@pytest.mark.parametrize("speakers", [None, [f"s{index % 7}" for index in range(60)]])
def test_order_and_seed(speakers: list[str] | None) -> None:
    random = np.random.default_rng(3)
    a, b = (scores(random.binomial(WORDS, 0.3, 60), speakers) for _ in range(2))
    assert bootstrap_interval(a) == bootstrap_interval(shuffled(a, 1))
    assert bootstrap_interval(a, draws=50) != bootstrap_interval(a, draws=50, seed=1)
    assert paired_test(a, b) == paired_test(shuffled(a, 1), shuffled(b, 2))
    assert mapsswe(a, b) == mapsswe(shuffled(a, 1), shuffled(b, 2))


def test_under_the_null_p_is_about_uniform() -> None:
    random, trials = np.random.default_rng(4), 300
    boot, matched = [], []
    for _ in range(trials):
        a, b = scores(random.binomial(WORDS, 0.2, 80)), scores(random.binomial(WORDS, 0.2, 80))
        boot.append(paired_test(a, b, draws=400).p)
        matched.append(mapsswe(a, b).p)
    for values in (boot, matched):
        for level in (0.05, 0.25, 0.5, 0.75):
            assert np.mean(np.array(values) <= level) == pytest.approx(level, abs=0.08)


def test_a_plain_difference_is_found() -> None:
    random = np.random.default_rng(5)
    a, b = scores(random.binomial(WORDS, 0.1, 200)), scores(random.binomial(WORDS, 0.4, 200))
    test = paired_test(a, b)
    assert test.p == pytest.approx(2 / 10_001)
    assert test.low < test.difference < test.high < 0
    assert test.difference == pytest.approx(test.rate_a - test.rate_b)
    assert test.relative == pytest.approx(1 - test.rate_a / test.rate_b)
    assert test.relative_low and test.relative_high and 0 < test.relative_low < test.relative < test.relative_high < 1
    assert mapsswe(a, b).z < -10 and mapsswe(a, b).p < 1e-12


@pytest.mark.parametrize(("count", "expected"), [(2, 0.5), (5, 1 / 16), (10, 2**-9)])
def test_mapsswe_of_few_segments_claims_no_more_than_their_signs(count, expected) -> None:
    better, worse = scores([1] * count + [2] * 30), scores([2] * count + [2] * 30)
    found = mapsswe(better, worse)
    assert found.p == pytest.approx(max(expected, math.erfc(abs(found.z) / math.sqrt(2))))
    assert mapsswe(scores([1] * count), scores([2] * count)).p == expected


def test_swapping_the_systems_turns_the_sign() -> None:
    random = np.random.default_rng(6)
    a, b = scores(random.binomial(WORDS, 0.2, 50)), scores(random.binomial(WORDS, 0.25, 50))
    there, back = paired_test(a, b), paired_test(b, a)
    assert (there.difference, there.p) == (-back.difference, back.p)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert mapsswe(a, b).z == -mapsswe(b, a).z and mapsswe(a, b).p == mapsswe(b, a).p


def test_p_and_interval_agree() -> None:
    random = np.random.default_rng(7)
    for rate in (0.2, 0.23, 0.26, 0.3):
        test = paired_test(scores(random.binomial(WORDS, rate, 100)), scores(random.binomial(WORDS, 0.2, 100)))
        assert (test.p < 0.05) == (not test.low <= 0 <= test.high)


def test_a_system_does_not_differ_from_itself() -> None:
    system = scores([0, 3, 1, 2])
    test = paired_test(system, system)
    assert (test.difference, test.low, test.high, test.p, test.relative) == (0, 0, 0, 1, 0)
    assert (mapsswe(system, system).z, mapsswe(system, system).p) == (0, 1)


def test_a_constant_difference_has_no_deviation() -> None:
    result = mapsswe(scores([1, 1, 1]), scores([2, 2, 2]))
    assert (result.z, result.p, result.mean) == (-math.inf, 0.25, -1)


def test_relative_reduction_of_nothing_is_none() -> None:
    test = paired_test(scores([1, 2]), scores([0, 0]))
    assert (test.relative, test.relative_low, test.relative_high) == (None, None, None)


def test_pairing_narrows_the_interval() -> None:
    random = np.random.default_rng(8)
    hard = random.binomial(WORDS - 1, random.uniform(0, 1, 100))
    a, b = scores(hard), scores(hard + 1)
    test = paired_test(a, b)
    assert test.high - test.low < 1e-9 < bootstrap_interval(a).high - bootstrap_interval(a).low


def test_too_few_or_unlike_systems_are_refused() -> None:
    one, two = scores([1]), scores([1, 2])
    for call in (lambda: bootstrap_interval(one), lambda: paired_test(one, one), lambda: mapsswe(one, one)):
        with pytest.raises(UserError, match="at least 2 utterances"):
            call()
    for compare in (paired_test, mapsswe):
        with pytest.raises(UserError, match=r"different utterances: 1 only in one \('u0001'\)"):
            compare(one, two)
        with pytest.raises(UserError, match="different references of 'u0000'"):
            compare(two, scores([1, 2], words=11))
        with pytest.raises(UserError, match="not scored alike"):
            compare(two, Scores(two.utterances, "basic"))
    with pytest.raises(UserError, match="between 0 and 1"):
        bootstrap_interval(two, level=95)
    with pytest.raises(UserError, match="at least 1 draw"):
        bootstrap_interval(two, draws=0)


def test_memory_stays_bounded() -> None:
    errors = np.random.default_rng(9).binomial(WORDS, 0.2, 20_000)
    interval = bootstrap_interval(scores(errors), draws=300)
    assert interval.low < errors.mean() / WORDS < interval.high


def test_replicates_leave_out_draws_without_words() -> None:
    rates = np.array([0.1, np.nan, 0.3, 0.2, np.nan])
    a, b = Replicates(0.2, rates, "speaker", 4), Replicates(0.3, np.array([0.2, 0.3, 0.4, 0.3, 0.1]), "speaker", 4)
    assert a.interval().draws == 3 and 0.1 <= a.interval().low < a.interval().high <= 0.3
    assert paired(a, b).draws == 3 and paired(a, b).high == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="same draws"):
        paired(a, Replicates(0.3, rates[1:], "speaker", 4))


def test_a_mean_over_clustered_corpora_is_covered() -> None:
    """Forty voices in two corpora of unlike size: the interval of the mean of both rates, drawn jointly."""
    random, inside, trials = np.random.default_rng(10), 0, 200
    for _ in range(trials):
        skill = random.uniform(0.1, 0.5, 40)  # mean 0.3: each voice errs alike in both
        words = np.column_stack([np.full(40, 30), random.integers(5, 90, 40)])
        counts = np.stack([random.binomial(words, skill[:, None]), words])  # errors, words
        sums = resample(counts.transpose(1, 0, 2), 300)
        rates = (sums[:, 0] / sums[:, 1]).mean(axis=1)
        interval = Replicates(0, rates, "speaker", 40).interval()
        inside += interval.low <= 0.3 <= interval.high
    assert 0.89 <= inside / trials <= 0.99
