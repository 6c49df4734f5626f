import json
from collections.abc import Callable
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from syn2real.errors import UserError
from syn2real.experiments.comparison import Heard, compare
from syn2real.resampling import holm
from syn2real.speech.scoring import Pair, Scores, score
from syn2real.speech.statistics import bootstrap_interval, mapsswe, paired_test

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
EVALUATION = SimpleNamespace(normaliser="basic", draws=500, level=0.9)
SYSTEMS = {"zero-shot": 0.4, "target-synthetic": 0.3, "syn2real": 0.2}
TARGETS = {"kitchen": 14, "weather": 9, "music": 20}  # utterances


def recordings(target: str, speakers: int = 5) -> list[Pair]:
    random = np.random.default_rng(len(target) * 7)
    said = [" ".join(random.choice(WORDS, random.integers(3, 9))) for _ in range(TARGETS[target])]
    return [Pair(f"{target}-{i}", text, "", f"s{i % speakers}", target) for i, text in enumerate(said)]


def heard_as(pairs: list[Pair], rate: float, seed: int) -> Scores:
    """What a recogniser wrong about so many words might have heard; some voices are harder than others."""
    random, rows = np.random.default_rng(seed), []
    for pair in pairs:
        harder = rate * (0.4 + 0.3 * int((pair.speaker or "s0")[1:]))
        words = [word if random.random() > harder else random.choice(["um", ""]) for word in pair.reference.split()]
        rows.append(Pair(pair.id, pair.reference, " ".join(words), pair.speaker, pair.domain))
    return score(rows, "basic")


def grid(seeds: tuple[int, ...] = (0, 1), systems: dict[str, float] = SYSTEMS, window: str = "short") -> list[Heard]:
    heard = []
    for number, (system, rate) in enumerate(systems.items()):
        for target in TARGETS:
            others = [pair for name in TARGETS if name != target for pair in recordings(name)]
            for seed in seeds:
                draw = 0 if system == "zero-shot" else 10 * seed + number
                scores, away = heard_as(recordings(target), rate, draw), heard_as(others, rate / 2, draw)
                scale = 0.5 + seed if system == "syn2real" else None
                heard.append(Heard(system, target, "tiny", "espeak", seed, window, scores, away, scale))
    return heard


def run(heard: list[Heard], **options: Any) -> dict[str, Any]:
    return compare(heard, evaluation=options.pop("evaluation", EVALUATION), **options)


def system_of(record: dict[str, Any], name: str, group: int = 0) -> dict[str, Any]:
    return next(row for row in record["groups"][group]["systems"] if row["name"] == name)


def naive(heard: list[Heard]) -> dict[str, Any]:
    """Pooled and mean rates of every draw, speaker by speaker in plain loops over utterances."""
    speakers = sorted({u.speaker for one in heard for u in one.scores if u.speaker})
    random = np.random.default_rng(0)
    draws = [[speakers[i] for i in random.integers(0, len(speakers), len(speakers))] for _ in range(EVALUATION.draws)]
    found: dict[str, Any] = {}
    for system in {one.system: 0 for one in heard}:
        micro, macro = [], []
        for drawn in draws:
            sums = {target: [0, 0] for target in TARGETS}
            for one in heard:
                if one.system == system:
                    for u in one.scores:
                        times = drawn.count(u.speaker)
                        sums[one.target][0] += times * u.counts.errors
                        sums[one.target][1] += times * u.counts.words
            micro.append(sum(e for e, _ in sums.values()) / sum(w for _, w in sums.values()))
            macro.append(np.mean([e / w for e, w in sums.values() if w]))
        found[system] = np.array(micro), np.array(macro)
    return found


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return run(grid())


def test_agrees_with_plain_loops(record: dict[str, Any]) -> None:
    slow, bounds = naive(grid()), [0.05, 0.95]
    base = slow["target-synthetic"]
    for name, (micro, macro) in slow.items():
        row = system_of(record, name)
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(np.quantile(micro, bounds))
        assert [row["macro_low"], row["macro_high"]] == pytest.approx(np.quantile(macro, bounds))
        if name == "target-synthetic":
            assert row["against_baseline"] is None
            continue
        for key, rates, of_base in (("micro", micro, base[0]), ("macro", macro, base[1])):
            test = row["against_baseline"][key]
            assert [test["relative_low"], test["relative_high"]] == pytest.approx(
                np.quantile(1 - rates / of_base, bounds)
            )
            beyond = min((rates <= of_base).sum(), (rates >= of_base).sum())
            assert test["p"] == pytest.approx(min(1, 2 * (beyond + 1) / (EVALUATION.draws + 1)))


def test_point_rates_are_of_summed_counts(record: dict[str, Any]) -> None:
    for name in SYSTEMS:
        row, mine = system_of(record, name), [one for one in grid() if one.system == name]
        pooled = [u.counts for one in mine for u in one.scores]
        assert (
            row["words"]
            == sum(c.words for c in pooled)
            == 2 * sum(len(p.reference.split()) for target in TARGETS for p in recordings(target))
        )
        assert row["wer"] == sum(c.errors for c in pooled) / row["words"]
        domains = {target: [one for one in mine if one.target == target] for target in TARGETS}
        rates = {
            target: sum(one.scores.total.errors for one in part) / sum(one.scores.total.words for one in part)
            for target, part in domains.items()
        }
        assert {d["target"]: d["wer"] for d in row["domains"]} == pytest.approx(rates)
        assert row["macro"] == pytest.approx(np.mean(list(rates.values())))
        of_seed = [sum(o.scores.total.errors for o in mine if o.seed == s) / (row["words"] / 2) for s in (0, 1)]
        assert list(row["seeds"]["rates"].values()) == pytest.approx(of_seed)
        assert row["wer"] == pytest.approx(np.mean(of_seed))
        assert row["seeds"]["sd"] == pytest.approx(np.std(of_seed, ddof=1))
        pairs = [Pair(f"{o.seed}{u.id}", u.reference, u.hypothesis) for o in mine for u in o.scores]
        assert row["cer"] == pytest.approx(score(pairs, "basic", "character").rate)
        assert row["wer_unnormalised"] == pytest.approx(score(pairs, "none").rate)


def test_one_target_and_seed_is_what_the_plain_tests_say() -> None:
    heard = [one for one in grid((3,)) if one.target == "music"]
    row = system_of(record := run(heard), "syn2real")
    scores = {one.system: one.scores for one in heard}
    interval = bootstrap_interval(scores["syn2real"], 0.9, 500)
    assert (row["ci_low"], row["ci_high"]) == (interval.low, interval.high) == (row["macro_low"], row["macro_high"])
    test = paired_test(scores["syn2real"], scores["target-synthetic"], 0.9, 500)
    assert row["against_baseline"]["micro"]["p"] == test.p
    assert row["against_baseline"]["micro"]["relative_low"] == test.relative_low
    for pair in record["groups"][0]["pairs"]:
        assert pair["mapsswe_p"] == pytest.approx(mapsswe(scores[pair["a"]], scores[pair["b"]]).p)


def test_repeating_a_seed_makes_nothing_surer() -> None:
    once = grid((0,))
    thrice = [Heard(**{**vars(one), "seed": seed}) for one in once for seed in (0, 1, 2)]
    single, triple = system_of(run(once), "syn2real"), system_of(run(thrice), "syn2real")
    for key in ("wer", "ci_low", "ci_high", "macro_low", "macro_high"):
        assert triple[key] == pytest.approx(single[key])
    assert triple["against_baseline"]["micro"]["p"] == single["against_baseline"]["micro"]["p"]
    assert triple["against_baseline"]["mapsswe_p"] == single["against_baseline"]["mapsswe_p"]
    assert triple["seeds"]["sd"] == 0 and single["seeds"]["sd"] is None


def test_families_are_corrected_each_for_itself(record: dict[str, Any]) -> None:
    group = record["groups"][0]
    assert [(row["a"], row["b"]) for row in group["pairs"]] == list(combinations(SYSTEMS, 2))
    assert [row["p_holm"] for row in group["pairs"]] == holm([row["p"] for row in group["pairs"]])
    shown = [row["against_baseline"]["micro"] for row in group["systems"] if row["against_baseline"]]
    assert len(shown) == 2
    assert [test["p_holm"] for test in shown] == holm([test["p"] for test in shown])


def test_what_the_test_chose_makes_no_claim_less_sure(record: dict[str, Any]) -> None:
    oracles = grid(systems={"syn2real (oracle)": 0.19, "average (oracle)": 0.25})
    both = run([*grid(), *oracles])
    for name in SYSTEMS:
        assert system_of(both, name)["against_baseline"] == system_of(record, name)["against_baseline"]
    pairs = {(row["a"], row["b"]): row for row in both["groups"][0]["pairs"]}
    assert len(pairs) == 10
    for row in record["groups"][0]["pairs"]:
        assert pairs[row["a"], row["b"]] == row
    apart = [row for (_, b), row in pairs.items() if b.endswith("(oracle)")]
    assert [row["p_holm"] for row in apart] == holm([row["p"] for row in apart])


def test_signs_are_flipped_by_speaker(record: dict[str, Any]) -> None:
    speakers = sorted({u.speaker for one in grid() for u in one.scores if u.speaker})
    sums = dict.fromkeys(((name, speaker) for name in SYSTEMS for speaker in speakers), 0)
    for one in grid():
        for u in one.scores:
            sums[one.system, u.speaker or ""] += u.counts.errors
    pairs = record["groups"][0]["pairs"]
    for pair in pairs:
        gaps = [sums[pair["a"], speaker] - sums[pair["b"], speaker] for speaker in speakers]
        flipped = [abs(sum(s * g for s, g in zip(signs, gaps, strict=True))) for signs in product((1, -1), repeat=5)]
        assert pair["flip_p"] == np.mean([value >= abs(sum(gaps)) for value in flipped])
    assert [pair["flip_p_holm"] for pair in pairs] == holm([pair["flip_p"] for pair in pairs])
    assert system_of(record, "syn2real")["against_baseline"]["micro"]["flip_p"] == pairs[-1]["flip_p"]


def test_out_of_domain_is_set_against_the_untouched_model(record: dict[str, Any]) -> None:
    row = system_of(record, "syn2real")["elsewhere"]
    mine = [one.elsewhere.total for one in grid() if one.system == "syn2real" and one.elsewhere]
    assert row["wer"] == sum(c.errors for c in mine) / sum(c.words for c in mine)
    assert row["against"]["difference"] < 0 and row["against"]["p_holm"] >= row["against"]["p"]
    assert system_of(record, "zero-shot")["elsewhere"]["against"] is None
    bare = [Heard(**{**vars(one), "elsewhere": None}) for one in grid()]
    assert system_of(run(bare), "syn2real")["elsewhere"] is None


def test_missing_cells_are_left_out_on_both_sides_and_marked(record: dict[str, Any]) -> None:
    lost = [("music", 1), ("kitchen", 0)]
    heard = [one for one in grid() if one.system != "syn2real" or (one.target, one.seed) not in lost]
    partial = run(heard)
    row, base = system_of(partial, "syn2real"), system_of(partial, "target-synthetic")
    assert row["missing"] == [{"target": "kitchen", "seed": 0}, {"target": "music", "seed": 1}]
    assert (row["cells"], base["cells"], base["missing"]) == (4, 6, [])
    assert row["seeds"]["rates"].keys() == {"0", "1"}  # over weather, which both seeds have
    test = row["against_baseline"]
    assert not test["complete"] and test["cells"] == 4
    common = [
        one.scores.total for one in grid() if one.system == "target-synthetic" and (one.target, one.seed) not in lost
    ]
    assert test["micro"]["rate_b"] == sum(c.errors for c in common) / sum(c.words for c in common) != base["wer"]
    assert base == system_of(record, "target-synthetic")  # what is whole is not touched
    others = [pair for pair in partial["groups"][0]["pairs"] if "syn2real" not in (pair["a"], pair["b"])]
    assert [pair["complete"] for pair in others] == [True]


def test_systems_without_a_common_cell_are_not_compared() -> None:
    heard = [one for one in grid() if (one.system == "syn2real") == (one.target == "music")]
    record = run(heard)
    assert system_of(record, "syn2real")["against_baseline"] is None
    assert [(pair["a"], pair["b"]) for pair in record["groups"][0]["pairs"]] == [("zero-shot", "target-synthetic")]


def test_groups_are_kept_apart() -> None:
    full = [Heard(**{**vars(one), "window": "full"}) for one in grid((0,), {"zero-shot": 0.9})]
    record = run([*grid((0,)), *full])
    assert [(g["window"], g["model"], g["engines"]) for g in record["groups"]] == [
        ("short", "tiny", "espeak"),
        ("full", "tiny", "espeak"),
    ]
    assert system_of(record, "zero-shot", 1)["against_baseline"] is None
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_without_speakers_utterances_are_drawn_once_for_all_seeds() -> None:
    def anonymous(scores: Scores) -> Scores:
        return score([Pair(u.id, u.reference, u.hypothesis) for u in scores], "basic")

    heard = [Heard(**{**vars(one), "scores": anonymous(one.scores), "elsewhere": None}) for one in grid()]
    group = run(heard)["groups"][0]
    assert (group["unit"], group["units"]) == ("utterance", sum(TARGETS.values()))


def test_a_target_of_one_speaker_has_a_rate_without_an_interval() -> None:
    def apart(scores: Scores) -> Scores:
        return score([Pair(u.id, u.reference, u.hypothesis, f"only {u.domain}") for u in scores], "basic")

    heard = [Heard(**{**vars(one), "scores": apart(one.scores)}) for one in grid()]
    row = system_of(run(heard), "syn2real")
    assert row["ci_low"] < row["wer"] < row["ci_high"] and row["macro_low"] < row["macro"] < row["macro_high"]
    assert all(d["units"] == 1 and d["ci_low"] is None and d["relative_low"] is None for d in row["domains"])


def test_order_does_not_matter(record: dict[str, Any]) -> None:
    def turned(scores: Scores) -> Scores:
        return Scores(scores.utterances[::-1], scores.normaliser)

    heard = [Heard(**{**vars(one), "scores": turned(one.scores)}) for one in grid()]
    assert run(heard) == record == run(grid())


def _silent(one: Heard) -> Heard:
    rows = [Pair(u.id, "", u.hypothesis, u.speaker) for u in one.scores]
    return Heard(**{**vars(one), "scores": score(rows, "basic")})


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda heard: [], "nothing to compare"),
        (lambda heard: [*heard, heard[0]], "heard twice in one cell of the grid: zero-shot, kitchen, seed 0, tiny"),
        (
            lambda heard: [
                Heard(**{**vars(one), "scores": one.scores.filter(lambda u: u.id != "music-3")})
                if (one.system, one.target, one.seed) == ("syn2real", "music", 1)
                else one
                for one in heard
            ],
            r"syn2real on music, seed 1: .* different utterances: 1 only in one \('music-3'\)",
        ),
        (lambda heard: [_silent(one) if one.target == "music" else one for one in heard], "music: none of its ref"),
        (
            lambda heard: [
                Heard(**{**vars(one), "scores": one.scores.filter(lambda u: u.id.endswith("-1"))})
                for one in heard
                if one.target == "music"
            ],
            "at least 2 utterances",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(break_it: Callable[[list[Heard]], list[Heard]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(break_it(grid()))
