"""Both sentences of a case asked, and what the answers come to."""

import json

import pytest

from syn2real.errors import UserError
from syn2real.language.bias.answering import (
    Answered,
    AnswerSettings,
    answer_cases,
    read_answered,
    write_answered,
)
from syn2real.language.bias.cases import Case
from syn2real.language.bias.figures import figures, paired, ratio
from syn2real.language.bias.scorers import scorer_named
from syn2real.language.chat import Message, chat_model
from syn2real.language.chat.kept import KeptReplies


def ask(model, cases, folder, settings=AnswerSettings()):  # noqa: B008 - frozen
    return answer_cases(model, cases, settings, scorer_named("vader"), KeptReplies(folder / "replies.jsonl"))


def test_a_biased_model_has_wide_gaps(biased_server, cases, tmp_path):
    rows = ask(chat_model("server:m", url=biased_server.url), cases, tmp_path)
    assert [row.case for row in rows] == cases
    vader = scorer_named("vader")
    for row in rows:
        assert row.gap == abs(vader.scores([row.first])[0] - vader.scores([row.second])[0]) > 1
        assert ("wonderful" in row.first) != ("wonderful" in row.second)
    assert len(biased_server.asked) == 2 * len(cases)


def test_a_fair_model_has_none_and_its_system_prompt_is_said(chat_server, cases, tmp_path):
    chat_server.reply = lambda asked: "I am glad."
    rows = ask(chat_model("server:m", url=chat_server.url), cases, tmp_path, AnswerSettings("", max_tokens=5))
    assert [row.gap for row in rows] == [0.0] * len(cases)
    assert chat_server.asked[0]["messages"][0] == {"role": "system", "content": ""}
    assert chat_server.asked[0]["max_tokens"] == 5


def test_a_server_that_fails_midway_loses_nothing(biased_server, cases, tmp_path, monkeypatch):
    monkeypatch.setattr("syn2real.language.bias.answering.TOGETHER", 2)
    model = chat_model("server:m", url=biased_server.url, retries=0, at_once=1, budget=5)
    with pytest.raises(UserError, match="exceed the budget of 5"):
        ask(model, cases, tmp_path)
    asked = len(biased_server.asked)
    assert asked == 4
    rows = ask(chat_model("server:m", url=biased_server.url), cases, tmp_path)
    assert len(biased_server.asked) == 2 * len(cases)
    assert rows == ask(chat_model("server:other", url=biased_server.url), cases, tmp_path / "afresh")


def test_a_model_that_says_nothing_is_reported(chat_server, cases, tmp_path):
    chat_server.reply = lambda asked: " "
    with pytest.raises(UserError, match=f"answered all {2 * len(cases)} sentences with nothing"):
        ask(chat_model("server:m", url=chat_server.url), cases, tmp_path)
    # Some empty answers are counted.
    chat_server.reply = lambda asked: "" if "he " in asked["messages"][-1]["content"] else "Fine, thank you."
    found = figures(ask(chat_model("server:n", url=chat_server.url), cases, tmp_path / "some"))
    assert 0 < found["empty"] < found["answers"] == 2 * len(cases)


def test_answers_are_stored_marked_and_read_again(biased_server, cases, tmp_path):
    rows = ask(chat_model("server:m", url=biased_server.url), cases, tmp_path)
    write_answered(tmp_path / "provoked.jsonl", rows)
    assert read_answered(tmp_path / "provoked.jsonl") == rows
    lines = (tmp_path / "provoked.jsonl").read_text().splitlines()
    assert all(json.loads(line)["provoked"] is True for line in lines)
    (tmp_path / "provoked.jsonl").write_text(lines[0] + '\n{"id": "x"}\n')
    with pytest.raises(UserError, match=r"provoked\.jsonl:2: no answered case"):
        read_answered(tmp_path / "provoked.jsonl")


def test_the_same_answers_whatever_company(chat_llama, cases, tmp_path):
    model = chat_model(str(chat_llama))
    settings = AnswerSettings(max_tokens=4)
    together = ask(model, cases, tmp_path / "all", settings)
    alone = ask(model, cases[:1], tmp_path / "one", settings)
    assert alone[0] == together[0]


def answered(gaps, texts=("one thing", "another thing")):
    return [Answered(Case(f"c{place}", "a", "b"), *texts, gap) for place, gap in enumerate(gaps)]


def test_the_mean_gap_and_its_interval():
    found = figures(answered([0.0, 0.2, 0.6, 1.0] * 10), threshold=0.6)
    assert found["mean_gap"] == pytest.approx(0.45)
    # Of 40 cases with a standard deviation of .384 the mean's is .0607.
    assert found["ci_low"] == pytest.approx(0.45 - 1.96 * 0.0607, abs=0.01)
    assert found["ci_high"] == pytest.approx(0.45 + 1.96 * 0.0607, abs=0.01)
    assert (found["wide"]["count"], found["median_gap"]) == (20, pytest.approx(0.4))
    assert sum(found["histogram"]["counts"]) == 40
    assert found["histogram"]["counts"][0] == 10 and found["histogram"]["edges"][-1] == 2
    with pytest.raises(UserError, match="no cases"):
        figures([])


def test_degenerate_answers_are_counted_and_the_sound_mean_is_without_them():
    rows = [*answered([0.4, 0.2]), Answered(Case("e", "a", "b"), "", "no no no no no", 0.9)]
    found = figures(rows)
    assert (found["empty"], found["repetition"], found["answers"]) == (1, 1, 6)
    assert found["sound_mean_gap"] == pytest.approx(0.3)


def test_before_and_after_are_compared_case_by_case():
    before, after = [0.1, 0.9, 0.5, 0.7] * 8, [0.1, 0.3, 0.1, 0.7] * 8
    found = paired(answered(before), answered(after)[::-1])
    assert found["difference"] == pytest.approx(-0.25)
    assert found["relative"] == pytest.approx(-0.25 / 0.55)
    assert found["ci_high"] < 0 and found["relative_high"] < 0
    assert found["p"] < 0.001
    # From .5: of each four, two are wide before and not after.
    assert (found["wide_only_first"], found["wide_only_second"]) == (16, 0)
    assert found["wide_p"] == pytest.approx(2 / 2**16)
    with pytest.raises(UserError, match="not asked the same: 2 cases"):
        paired(answered(before), answered(before[:-2]))


def test_the_ratio_of_two_sets_is_drawn_on_either_side():
    found = ratio(answered([0.6, 0.4] * 30), answered([0.2, 0.3, 0.25] * 30))
    assert found["ratio"] == pytest.approx(2.0)
    assert 1.8 < found["ci_low"] < 2 < found["ci_high"] < 2.2
    assert ratio(answered([0.6]), answered([0.0]))["ratio"] is None


def test_where_gaps_are_rare_a_ratio_has_no_upper_bound():
    rare, often = [0.0] * 17 + [0.5, 0.6, 0.7], [0.5, 0.7] * 10
    found = ratio(answered(often), answered(rare))
    assert found["ratio"] == pytest.approx(0.6 / 0.09)
    assert 2 < found["ci_low"] < found["ratio"] and found["ci_high"] is None
    # Of 20 cases with 3 gaps 1 draw in 26 has none: it may be any ratio, on either side.
    assert ratio(answered(rare), answered(rare)) == {"ratio": 1.0, "ci_low": 0.0, "ci_high": None}
    # With 5 gaps, 1 in 315, which no percentile meets.
    assert 2 < ratio(answered(often), answered([0.0] * 15 + [0.5, 0.6, 0.7, 0.3, 0.3]))["ci_high"] < 30


def test_what_is_drawn_is_drawn_alike_for_a_case_and_its_twin(chat_server, cases, tmp_path):
    seeds = {}
    settings = AnswerSettings(temperature=0.7, seed=3)
    ask(chat_model("server:m", url=chat_server.url), cases, tmp_path, settings)
    for asked in chat_server.asked:
        seeds[Message("user", asked["messages"][-1]["content"])] = asked["seed"]
    for case in cases:
        assert seeds[Message("user", case.text)] == seeds[Message("user", case.twin)]
    assert len(set(seeds.values())) == len(cases)
