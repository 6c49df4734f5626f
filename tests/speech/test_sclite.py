"""Counts and MAPSSWE beside NIST's own: what `sclite` and `sc_stats` 2.4.10 (Debian's sctk) print for these utterances.

An utterance here is at most one segment of `sc_stats`, which cuts where both systems have two words right in a row, and
passes over segments in which neither errs.
"""

import pytest

from syn2real.speech.counts import ErrorCounts
from syn2real.speech.scoring import Pair, score
from syn2real.speech.statistics import mapsswe

UTTERANCES = [  # what was said, and heard by either
    ("one", "one", "won"),
    ("two three", "to three", "to tree"),
    ("four", "four", "for"),
    ("five six", "five sick", "five sick"),
    ("seven", "seven", "seven"),
    ("eight", "ate", "ate"),
    ("nine ten", "nine ten", "mine tin"),
    ("eleven", "a leaven", "a leaven"),
    ("twelve", "twelve", ""),
    ("thirteen four", "thirteen for", "thirty for"),
    ("fifteen", "fifteen", "fifty"),
    ("six teen", "sixteen", "six teen"),
    ("ten", "ten", "tent"),
    ("nine", "nine", "wine"),
    ("two", "two", "too"),
]
FIRST, SECOND = 1, 2


def scored(heard):
    return score([Pair(f"{n:02d}", row[0], row[heard], f"s{n // 5 + 1}") for n, row in enumerate(UTTERANCES)])


def counts(scores):
    total = scores.total
    return total.hits, total.substitutions, total.deletions, total.insertions


def test_counts_are_sclites():
    first, second = scored(FIRST), scored(SECOND)
    assert counts(first) == (13, 6, 1, 1) and counts(second) == (4, 15, 1, 1)
    assert counts(first.filter(lambda u: u.speaker == "s1")) == (5, 2, 0, 0)
    assert counts(second.filter(lambda u: u.speaker == "s1")) == (2, 5, 0, 0)
    assert sum(bool(u.counts.errors) for u in first) == 6 and sum(bool(u.counts.errors) for u in second) == 13


def test_mapsswe_is_that_of_sc_stats():
    wrong = {u.id for system in (FIRST, SECOND) for u in scored(system) if u.counts.errors}
    first, second = (scored(system).filter(lambda u: u.id in wrong) for system in (FIRST, SECOND))
    found = mapsswe(first, second)
    assert found.segments == 14
    assert (found.mean, found.z) == (pytest.approx(-0.643, abs=5e-4), pytest.approx(-2.590, abs=5e-4))


def test_all_utterances_are_segments_of_ours():
    found = mapsswe(scored(FIRST), scored(SECOND))
    assert (found.segments, found.z) == (15, pytest.approx(-2.5529, abs=1e-4))
    assert scored(FIRST).total + scored(SECOND).total == ErrorCounts(17, 21, 2, 2, 0, 30)
