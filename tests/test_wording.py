"""The sentence that says what the vector did, whichever way it fell."""

import pytest

from syn2real.reports.wording import choice, headlines


def system(name: str, wer: float, **changes) -> dict:
    none = dict.fromkeys(("relative", "relative_low", "relative_high", "p", "scale"))
    return none | {"name": name, "window": "short", "wer": wer, "ci_level": 0.95} | changes


def after(wer: float, relative: float | None, low: float | None, high: float | None, name: str = "syn2real") -> dict:
    return system(name, wer, scale=0.5, relative=relative, relative_low=low, relative_high=high, p=0.02)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            after(0.15, 0.25, 0.1, 0.4),
            "25 % fewer errors than tuning on synthetic speech alone (95 % interval 10 to 40 %",
        ),
        (
            after(0.25, -0.25, -0.4, -0.1),
            "25 % more errors than tuning on synthetic speech alone (95 % interval 10 to 40",
        ),
        (after(0.2, 0.0, 0.0, 0.0), "as many errors as without (λ = 0.5)"),
        (after(0.15, 0.25, 0.1, 0.4, "text-on-real"), "25 % fewer errors"),
        (after(0.1, 0.5, None, None), "too few errors for an interval"),
        (after(0.2, None, None, None), "no errors to mend"),
    ],
)
def test_headline(result, words):
    (line,) = headlines([system("target-synthetic", 0.2), result])
    assert words in line


def test_a_given_scale_is_not_said_to_be_chosen():
    assert choice({"chosen": 1, "chosen_by": []}) == "λ = 1, as given"
    assert "λ = 1, chosen on food" in choice({"chosen": 1, "chosen_by": ["food"]})


def test_of_several_sums_the_one_chosen_is_named():
    found = choice({"chosen": 0.3, "sum": "average", "chosen_by": ["food"], "other_sums": {"syn2real": []}})
    assert found == "weight average with source, real, λ = 0.3: both chosen on food without real target speech"
    given = choice({"chosen": 0.3, "sum": "average", "chosen_by": [], "other_sums": {}})
    assert given == "weight average with source, real, λ = 0.3, as given"
