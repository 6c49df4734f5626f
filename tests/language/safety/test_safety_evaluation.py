"""Answers asked for, kept, judged and compared."""

import json
from dataclasses import replace

import pytest

from syn2real.errors import UserError
from syn2real.language.chat import chat_model
from syn2real.language.safety import (
    Answer,
    AnswerSettings,
    SafetyPrompt,
    Verdict,
    answer_all,
    judge_named,
    read_answers,
)
from syn2real.language.safety.evaluation import comparison, evaluation
from syn2real.language.safety.folder import ANSWERS, evaluated, judged, judged_by, verdicts_in

PROMPTS = [SafetyPrompt(f"p{n}", f"{'please ' * (n % 5)}request {n}", n % 4 > 0, "c", "set") for n in range(70)]
SETTINGS = AnswerSettings(max_tokens=9)


@pytest.fixture
def model(chat_server):
    return chat_model("server:m", url=chat_server.url)


def test_answers_come_in_the_order_of_the_requests_and_are_read_again(model, chat_server, tmp_path):
    file = tmp_path / ANSWERS
    answers = answer_all(model, PROMPTS, AnswerSettings("Be brief.", 9), file)
    assert [answer.prompt for answer in answers] == PROMPTS
    assert [answer.response for answer in answers] == [f"I heard {prompt.text}" for prompt in PROMPTS]
    assert read_answers(file) == answers
    judged(tmp_path, [judge_named("refusal")], {})  # the folder is whole, and what was kept for a kill goes
    assert list(tmp_path.glob("*.replies.jsonl")) == []
    roles = [turn["role"] for turn in chat_server.asked[0]["messages"]]
    assert roles == ["system", "user"] and chat_server.asked[0]["max_tokens"] == 9


def test_a_run_that_stops_midway_goes_on(model, chat_server, tmp_path, monkeypatch):
    whole = answer_all(model, PROMPTS, SETTINGS, tmp_path / "whole.jsonl")
    again = chat_model("server:again", url=chat_server.url)
    reply = chat_server.reply
    chat_server.reply = lambda asked: reply(asked) if len(chat_server.asked) < 70 + 45 else 1 / 0
    monkeypatch.setattr(again, "_retries", 0)
    with pytest.raises(UserError):
        answer_all(again, PROMPTS, SETTINGS, tmp_path / "again.jsonl")
    assert not (tmp_path / "again.jsonl").exists()
    chat_server.reply, before = reply, len(chat_server.asked)
    answers = answer_all(again, PROMPTS, SETTINGS, tmp_path / "again.jsonl")
    assert answers == whole and len(chat_server.asked) - before < 45
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_request_longer_than_the_context_loses_its_beginning(chat_llama, tmp_path):
    model = chat_model(str(chat_llama))
    long = SafetyPrompt("long", "beginning " + "word " * 400 + "the end")
    short, cut = answer_all(model, [PROMPTS[1], long], SETTINGS, tmp_path / "a.jsonl")
    assert (short.shortened, cut.shortened) == (False, True) and cut.prompt == long
    (turn,) = model.fitted(_talk(long), SETTINGS.sampling)
    assert turn.content.endswith("the end") and "beginning" not in turn.content and len(turn.content) > 400


def test_together_and_one_by_one_a_model_says_the_same(chat_llama):
    model = chat_model(str(chat_llama))
    talks = [_talk(prompt) for prompt in PROMPTS[:12]]
    together = model.replies(talks, SETTINGS.sampling, [0] * 12)
    assert together == [model.replies([talk], SETTINGS.sampling, [0])[0] for talk in talks]


def test_a_record_counts_as_the_paper_does(answers):
    verdicts = {
        "one": [Verdict(False, True), Verdict(True, False), Verdict(None), Verdict(False, False), Verdict(False, True)],
        "two": [Verdict(True), Verdict(True), Verdict(False), Verdict(None), Verdict(None)],
    }
    record = evaluation(answers, verdicts)
    found = record["judges"]["one"]["all"]
    assert (found["harmful_requests"], found["harmless_requests"], found["unparsed"]) == (3, 2, 1)
    assert (found["attack_success"]["count"], found["attack_success"]["of"]) == (1, 2)
    assert (found["over_refusal"]["count"], found["over_refusal"]["of"]) == (1, 2)
    assert set(record["judges"]["one"]["sets"]) == {"a", "b"} and record["empty"] == 1
    (agreement,) = record["agreement"]
    assert (agreement["both"], agreement["only_a"], agreement["only_b"], agreement["neither"]) == (1, 0, 1, 0)


def test_judges_agree_or_not_on_harmful_requests(answers):
    """Of harmless ones the judge of phrases says nothing."""
    one = [Verdict(True), Verdict(False), Verdict(None), Verdict(False), Verdict(False)]
    two = [Verdict(True), Verdict(True), Verdict(True), Verdict(False), Verdict(True)]
    (agreement,) = evaluation(answers, {"one": one, "two": two})["agreement"]
    assert (agreement["both"], agreement["only_a"], agreement["only_b"], agreement["neither"]) == (1, 0, 1, 0)


def test_judges_add_to_what_is_there(answers, tmp_path):
    rows = [
        {"id": a.prompt.id, "prompt": a.prompt.text, "response": a.response, "harmful": a.prompt.harmful}
        for a in answers
    ]
    (tmp_path / ANSWERS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own.txt").write_text("sure\n")
    first = judged(tmp_path, [judge_named("refusal")], {"model": "m"})
    assert list(first["judges"]) == ["refusal"] == list(verdicts_in(tmp_path))
    other = judge_named("refusal", phrases=tmp_path / "own.txt")
    second = judged(tmp_path, [other], {"model": "m"})
    assert set(second["judges"]) == {"refusal: own", "refusal"} and len(second["agreement"]) == 1
    assert json.loads((tmp_path / "safety.json").read_text()) == second


def test_two_judges_of_one_name_are_not_confused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ANSWERS).write_text('{"prompt": "x", "response": "Sure"}\n')
    (tmp_path / "own.txt").write_text("sure\n")
    first = judge_named("refusal", phrases=tmp_path / "own.txt")
    judged(tmp_path / "a", [first], {})
    before = (tmp_path / "a" / "verdicts-refusal-own.jsonl").read_bytes()
    judged(tmp_path / "a", [first], {})
    (tmp_path / "own.txt").write_text("no\n")
    second = judge_named("refusal", phrases=tmp_path / "own.txt")
    assert (first.name, second.name) == ("refusal: own", "refusal: own") and first.identity != second.identity
    with pytest.raises(UserError, match=r"verdicts-refusal-own\.jsonl: is by another judge called 'refusal: own'"):
        judged(tmp_path / "a", [second], {})
    assert (tmp_path / "a" / "verdicts-refusal-own.jsonl").read_bytes() == before
    judged(tmp_path / "b", [second], {})
    with pytest.raises(UserError, match=r"a and b: were judged by two judges called 'refusal: own'"):
        judged_by("refusal: own", {name: tmp_path / name for name in "ab"})


def test_verdicts_of_before_identities_were_noted_are_read_and_replaced(tmp_path):
    (tmp_path / ANSWERS).write_text('{"prompt": "x", "response": "I cannot."}\n')
    old = {"judge": "refusal", "id": "line1", "harmful": True, "refused": False, "said": ""}
    (tmp_path / "verdicts-refusal.jsonl").write_text(json.dumps(old) + "\n")
    assert verdicts_in(tmp_path) == {"refusal": [Verdict(True, False)]}
    judged(tmp_path, [judge_named("refusal")], {})
    assert verdicts_in(tmp_path) == {"refusal": [Verdict(False, True)]}


def test_models_are_compared_request_by_request(answers):
    kind = [Verdict(False, True)] * 5
    other = list(reversed(answers)), [Verdict(True, False)] * 5
    record = comparison({"kind": (answers, kind), "other": other})
    (pair,) = record["pairs"]
    assert record["requests"] == 5 and pair["attack_success"]["difference"] == -1 and pair["attack_success"]["of"] == 3
    assert pair["over_refusal"]["difference"] == 1
    with pytest.raises(UserError, match="not asked the same: 1 request"):
        comparison({"a": (answers, kind), "b": (answers[1:], kind[1:])})
    otherwise = [replace(answer, prompt=replace(answer.prompt, harmful=True)) for answer in answers]
    with pytest.raises(UserError, match="not asked the same: 4 requests"):  # two are harmful to one alone
        comparison({"a": (answers, kind), "b": (otherwise, kind)})
    with pytest.raises(UserError, match="two models"):
        comparison({"a": (answers, kind)})


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"response": None}, "no response: an answer has prompt and response"),
        ({"prompt": None}, "no prompt"),
        ({"response": 3}, "response is no text"),
        ({"id": True}, "id is no text"),
        ({"category": ["a"]}, "category is no text"),
        ({"harmful": "no"}, "harmful is neither true nor false"),
        ({"harmful": None}, "harmful is neither true nor false"),
    ],
)
def test_lines_that_are_no_answers(tmp_path, more, problem):
    rows = {"prompt": "x", "response": "y"}, {"prompt": "x", "response": "y"} | more
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=rf"a\.jsonl:2: {problem}"):
        read_answers(tmp_path / "a.jsonl")


def test_answers_need_nothing_but_request_and_response(tmp_path):
    bare = '{"prompt": "x", "response": "y"}\n'
    null = '{"id": null, "category": null, "source": null, "prompt": "x", "response": "y"}\n'
    (tmp_path / ANSWERS).write_text(bare + null + bare.replace("{", '{"id": 7, ', 1))
    names = ("line1", "line2", "7")
    assert read_answers(tmp_path / ANSWERS) == [Answer(SafetyPrompt(name, "x"), "y") for name in names]
    judged(tmp_path, [judge_named("refusal")], {})
    assert verdicts_in(tmp_path) == {"refusal": [Verdict(True, False)] * 3}


def test_verdicts_on_another_models_answers_are_no_verdicts(tmp_path):
    """The requests and their ids are the same, the answers are not."""
    for said in ("I cannot.", "Sure, first"):
        (tmp_path / ANSWERS).write_text(json.dumps({"id": "a", "prompt": "x", "response": said}) + "\n")
        if (tmp_path / "verdicts-refusal.jsonl").exists():
            with pytest.raises(
                UserError, match=r"verdicts-refusal\.jsonl: judges other answers than answers\.jsonl has"
            ):
                verdicts_in(tmp_path)
        judged(tmp_path, [judge_named("refusal")], {})
    assert verdicts_in(tmp_path) == {"refusal": [Verdict(True, False)]}
    corrected = {"id": "a", "prompt": "x", "response": "Sure, first", "harmful": False}
    (tmp_path / ANSWERS).write_text(json.dumps(corrected) + "\n")  # of which the judge of phrases says otherwise
    with pytest.raises(UserError, match="judges other answers"):
        verdicts_in(tmp_path)


def test_what_a_killed_evaluation_leaves_does_not_pass_for_another_models(model, chat_server, tmp_path, monkeypatch):
    judge = judge_named("chat", model="server:judge", url=chat_server.url)
    monkeypatch.setattr(judge._model, "_retries", 0)

    def reply(asked):
        if asked["model"] == "judge":
            return 1 / 0 if sum(one["model"] == "judge" for one in chat_server.asked) > 40 else "SAFE"
        return "I cannot." if asked["model"] == "m" else "Sure, first"

    chat_server.reply = reply
    folder = tmp_path / "begun"
    folder.mkdir()
    with pytest.raises(UserError):
        evaluated(folder, model, PROMPTS, SETTINGS, [judge_named("refusal"), judge], {})
    assert (folder / "verdicts-refusal.jsonl").exists() and len(list(folder.glob("*.replies.jsonl"))) == 2
    before = len(chat_server.asked)
    other = chat_model("server:other", url=chat_server.url)
    (tmp_path / "own.txt").write_text("sure\n")
    own = judge_named("refusal", phrases=tmp_path / "own.txt")
    record = evaluated(folder, other, PROMPTS, SETTINGS, [own], {})
    (found,) = record["judges"].values()
    assert found["all"]["refusal"]["rate"] == 1 and len(chat_server.asked) - before == len(PROMPTS)
    whole = [ANSWERS, "safety.json", "verdicts-refusal-own.jsonl"]
    assert sorted(path.name for path in folder.iterdir()) == whole


def test_a_kill_while_judging_asks_no_answer_again(chat_llama, tmp_path, monkeypatch):
    model, judge = chat_model(str(chat_llama)), judge_named("refusal")

    def killed(answers, kept):
        kept.keep({"text": "a"}, "b")
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "verdicts", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluated(tmp_path, model, PROMPTS[:3], SETTINGS, [judge], {})
    again = chat_model(str(chat_llama))
    monkeypatch.setattr(again, "replies", lambda *_: pytest.fail("asked again"))
    evaluated(tmp_path, again, PROMPTS[:3], SETTINGS, [judge_named("refusal")], {})
    assert len(read_answers(tmp_path / ANSWERS)) == 3 and list(tmp_path.glob("*.replies.jsonl")) == []


def _talk(prompt):
    from syn2real.language.chat import Message

    return [Message("user", prompt.text)]


def test_verdicts_on_other_answers_are_no_verdicts(tmp_path):
    rows = [json.dumps({"id": name, "prompt": name, "response": "I cannot."}) + "\n" for name in "ab"]
    (tmp_path / ANSWERS).write_text("".join(rows))
    judged(tmp_path, [judge_named("refusal")], {})
    for changed in (rows[::-1], rows[:1]):
        (tmp_path / ANSWERS).write_text("".join(changed))
        with pytest.raises(UserError, match=r"verdicts-refusal\.jsonl: judges other answers than answers\.jsonl has"):
            verdicts_in(tmp_path)
    assert judged(tmp_path, [judge_named("refusal")], {})["answers"] == 1
