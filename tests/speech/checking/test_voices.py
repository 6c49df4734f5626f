"""Clips unlike the others of their voice."""

import math

import numpy as np

from syn2real.speech.checking import Spoken, VoiceLimits, outliers


def group(voice: str, count: int, engine: str = "e", pace: float = 0.06, ending: float = -40.0) -> list[Spoken]:
    """So many clips of a voice, their pace scattered by 15 % and their endings by 4 dB."""
    random = np.random.default_rng(len(voice) + count)
    paces = math.log(pace) + 0.15 * random.standard_normal(count)
    endings = ending + 4 * random.standard_normal(count)
    figures = enumerate(zip(paces, endings, strict=True))
    return [Spoken(f"{voice}{n}", voice, engine, float(pace), float(ending)) for n, (pace, ending) in figures]


def test_usual_clips_are_not_flagged():
    assert outliers([*group("a", 400), *group("b", 400, pace=0.09)]) == {}


def test_a_pace_far_from_its_voice_is():
    odd = [Spoken("slow", "a", "e", math.log(0.3), -40), Spoken("quick", "a", "e", math.log(0.01), -40)]
    found = outliers([*group("a", 50), *group("b", 50, pace=0.3), *odd])
    assert {name: [finding.kind for finding in findings] for name, findings in found.items()} == {
        "slow": ["pace"],
        "quick": ["pace"],
    }


def test_an_ending_louder_than_its_voice_has_is_and_a_softer_one_is_not():
    odd = [Spoken("cut", "a", "e", math.log(0.06), -2.0), Spoken("soft", "a", "e", math.log(0.06), -90.0)]
    found = outliers([*group("a", 50), *odd])
    assert [finding.kind for finding in found["cut"]] == ["ending"] and set(found) == {"cut"}
    # A voice that always stops at once is not found fault with.
    assert outliers([*group("a", 50, ending=-8.0), *odd]) == {}


def test_voices_of_few_clips_are_judged_among_their_engine():
    few = [clip for n in range(12) for clip in group(f"v{n}", 3)]
    odd = Spoken("odd", "v0", "e", math.log(0.4), -40)
    assert set(outliers([*few, odd])) == {"odd"}
    assert outliers([*few[:12], odd]) == {}  # too few of the engine, too
    assert outliers([*few, odd], VoiceLimits(deviations=50)) == {}


def test_clips_that_are_all_alike_are_not_flagged_for_a_trifle():
    same = [Spoken(str(n), "a", "e", math.log(0.06), -40) for n in range(30)]
    assert outliers([*same, Spoken("near", "a", "e", math.log(0.0605), -39)]) == {}


def test_a_text_without_letters_has_no_pace():
    assert outliers([*group("a", 30), Spoken("signs", "a", "e", None, -40)]) == {}
