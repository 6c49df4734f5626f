"""A user's own list of words that count as equal."""

import pytest

from syn2real.errors import UserError
from syn2real.speech.mapping import mapped
from syn2real.speech.normalisation import normaliser
from syn2real.speech.scoring import Pair, score


def rules(folder, text):
    (folder / "rules.txt").write_text(text)
    return mapped(normaliser("basic"), folder / "rules.txt")


def test_rules_are_whole_words_and_the_longest_wins(tmp_path):
    clean = rules(tmp_path, "# ours\nO.K. => okay\nok\tokay\n\nnew york => nyc\nnew york city => nyc\n")
    assert clean("OK, New York City is okay") == "okay nyc is okay"
    assert clean("o k okra newt york") == "okay okra newt york"


def test_what_a_rule_wrote_is_not_mapped_again(tmp_path):
    assert rules(tmp_path, "a => b\nb => a\n")("a b") == "b a"


def test_words_can_be_left_out(tmp_path):
    assert rules(tmp_path, "uh =>\n")("well uh yes") == "well yes"


def test_scores_name_the_map(tmp_path):
    clean = rules(tmp_path, "okay => ok\n")
    found = score([Pair("1", "okay then", "OK then")], clean)
    assert found.rate == 0 and "rules.txt" in found.normaliser and "map " in found.normaliser
    assert str(clean) != str(rules(tmp_path, "okay => kay\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("okay ok\n", r"rules.txt:1: no rule; write: okay => ok"),
        ("ok => okay\nok => kay\n", r"rules.txt:2: 'ok' is already mapped to 'okay'"),
        ("... => ok\n", r"rules.txt:1: nothing is left of '...' after 'basic'"),
        ("# none\n", "holds no rules"),
    ],
)
def test_a_rule_that_is_none_is_named(tmp_path, text, problem):
    with pytest.raises(UserError, match=problem):
        rules(tmp_path, text)
