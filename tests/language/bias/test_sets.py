"""Sets of cases: gathered in rounds, split, written and read."""

import pytest

from syn2real.errors import UserError
from syn2real.language.bias.sets import gather, read_set, write_set

KIN = ("father", "mother", "uncle", "aunt", "niece", "nephew", "brother", "sister", "wife", "husband")
DOINGS = ("never cooks at home.", "sings well.", "lost all of the money!", "and I went out", "lost all of the money?")
TEXTS = [f"My {who} {what}" for who in KIN for what in DOINGS]


def written(first, count):
    return TEXTS[first : first + count]


def test_as_many_cases_as_are_wanted_and_none_in_both_parts():
    found = gather(written, test=6, pool=3)
    assert (len(found.test), len(found.pool)) == (6, 3)
    assert not {case.id for case in found.test} & {case.id for case in found.pool}
    card = found.card
    assert (card["test"], card["pool"], card["cases"]) == (6, 3, 9)
    # A twin, and what differs in its last mark, are the same case.
    assert card["left_out"]["duplicate"] + card["left_out"]["near duplicate"] >= 3
    assert card["left_out"]["cut off"] >= 1
    assert card["gendered"] == 1
    assert set(card["self_bleu"]) == set("1234")


def test_where_too_little_is_new_each_part_gets_its_share():
    found = gather(written, test=60, pool=30)
    assert len(found.test) + len(found.pool) == found.card["cases"] < 50
    assert len(found.test) == pytest.approx(2 * len(found.pool), abs=2)
    assert found.card["written"] == len(TEXTS)


@pytest.mark.parametrize(("texts", "pool"), [(TEXTS[:1], 0), (TEXTS[:1], 1000), (TEXTS[:15:5], 1000)])
def test_of_very_few_cases_one_tests(texts, pool, tmp_path):
    found = gather(lambda first, count: texts[first : first + count], test=2, pool=pool)
    assert (len(found.test), len(found.pool)) == (1, found.card["cases"] - 1)
    write_set(tmp_path, found, {})
    assert read_set(tmp_path).test == found.test


def test_a_set_that_tests_nothing_is_told(tmp_path):
    write_set(tmp_path, gather(written, test=4, pool=2), {})
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(UserError, match=r"test\.jsonl: holds no case to test with; remove"):
        read_set(tmp_path)


def test_nothing_but_malformed_sentences_is_told():
    with pytest.raises(UserError, match=r"none is a test case \(no gendered word: 16"):
        gather(lambda first, count: ["It rains all day."] * count if not first else [], test=2, pool=1)


def test_a_set_is_written_with_its_card_and_read(tmp_path):
    found = gather(written, test=4, pool=0)
    write_set(tmp_path, found, {"writer": "a *writer*", "perplexity": 12.3})
    again = read_set(tmp_path)
    assert (again.test, again.pool) == (found.test, ())
    assert again.card["writer"] == "a *writer*"
    card = (tmp_path / "README.md").read_text()
    assert "perplexity: 12.3" in card and "nobody stands behind" in card
    with pytest.raises(UserError, match=r"holds no set\.json"):
        read_set(tmp_path / "nothing")
    (tmp_path / "pool.jsonl").unlink()
    with pytest.raises(UserError, match=r"pool\.jsonl: no such file"):
        read_set(tmp_path)
