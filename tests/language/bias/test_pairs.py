"""The lists of words in two genders."""

import pytest

from syn2real.errors import UserError
from syn2real.language.bias import own_pairs, read_pairs


def test_our_list_is_long_and_pairs_every_word_once():
    pairs = own_pairs()
    words = [word for pair in pairs.pairs for word in pair]
    assert len(pairs) >= 200
    assert len(set(words)) == len(words)
    assert all(pairs.partners[pairs.partners[word]] == word for word in words)


def test_names_are_optional():
    assert "mary" not in own_pairs().partners
    assert own_pairs(names=True).partners["john"] == "mary"


def test_a_list_of_ones_own(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("# mine\n\nKing\tQueen\nold boy\told girl\n", encoding="utf-8")
    assert read_pairs(file).pairs == (("king", "queen"), ("old boy", "old girl"))


@pytest.mark.parametrize(
    "lines, line, problem",
    [
        ("man\twoman\nboy\tgirl\nking\tman\n", 3, "'man' stands in line 1 already"),
        ("man\twoman\nman\twoman\n", 2, "'man' stands in line 1 already"),
        ("man\twoman\nboy\n", 2, "one side only"),
        ("man\twoman\nboy\t\n", 2, "one side only"),
        ("man\twoman\tperson\n", 1, "one side only"),
        ("# a list\nboss\tboss\n", 2, "paired with itself"),
        ("man\twoman\nhis\ther\n", 2, "swapped by rule"),
        ("man\two.man\n", 1, "is no word"),
    ],
)
def test_what_is_no_pair_is_refused_with_its_line(tmp_path, lines, line, problem):
    file = tmp_path / "pairs.tsv"
    file.write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match=f"pairs.tsv:{line}: .*{problem}"):
        read_pairs(file)


def test_an_empty_list_is_refused(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("# nothing\n")
    with pytest.raises(UserError, match="holds no pairs"):
        read_pairs(file)
