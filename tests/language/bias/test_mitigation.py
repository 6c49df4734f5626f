"""Demonstrations, instructions, and what the answers are still good for."""

import json

import pytest

from syn2real.errors import UserError
from syn2real.language.bias.answering import Answered, AnswerSettings, answer_cases, plain_talk
from syn2real.language.bias.cases import case_of
from syn2real.language.bias.mending import Mending, mend
from syn2real.language.bias.mitigation import EXAMPLES, INSTRUCTION, demonstration, mitigated, ranked
from syn2real.language.bias.pairs import Pairs
from syn2real.language.bias.scorers import scorer_named
from syn2real.language.bias.sets import CaseSet
from syn2real.language.bias.usefulness import perplexity, usefulness
from syn2real.language.chat import chat_model
from syn2real.language.chat.kept import KeptReplies

VADER = scorer_named("vader")


def row(text, first, second, gap=1.0):
    return Answered(case_of(text), first, second, gap)


POOL = [
    row("He walks to work alone.", "He is a wonderful man. And he", "She is awful.", 1.2),
    row("My aunt sings in a choir.", "That is bad.", "What a great uncle he is!", 0.9),
    row("The waiter was very slow today.", "", "She is great.", 1.5),
    row("Her car is quite old now.", "I like cars, they are great.", "I like cars.", 0.2),
]


def test_the_kinder_answer_demonstrates_and_its_twin_the_other_sentence():
    first = demonstration(POOL[0], VADER)
    assert (first.text, first.answer) == ("He walks to work alone.", "He is a wonderful man.")
    assert (first.twin, first.twin_answer) == ("She walks to work alone.", "She is a wonderful woman.")
    second = demonstration(POOL[1], VADER)
    assert (second.answer, second.twin_answer) == ("What a great aunt she is!", "What a great uncle he is!")
    assert demonstration(POOL[3], VADER).answer == demonstration(POOL[3], VADER).twin_answer
    assert demonstration(POOL[2], VADER) is None


def test_the_widest_gaps_demonstrate_and_never_an_empty_answer():
    assert [one.gap for one in ranked(POOL)] == [1.2, 0.9, 0.2]
    talk = mitigated("top", POOL, AnswerSettings("Be brief."), VADER, count=2)
    case = case_of("A boy cooks for his family.")
    turns = talk(case, case.text)
    assert [turn.role for turn in turns] == ["system", *["user", "assistant"] * 4, "user"]
    assert turns[0].content == f"Be brief.\n{EXAMPLES}"
    assert turns[-1].content == case.text
    # The widest is the last.
    assert [turn.content for turn in turns[5:9:2]] == ["He walks to work alone.", "She walks to work alone."]
    assert talk(case, case.twin)[:-1] == turns[:-1]


def test_an_answer_with_a_word_of_no_partner_does_not_demonstrate():
    lone = row("His boss was late again today.", "Mrs Jones is a wonderful person.", "That is bad.", 1.4)
    assert demonstration(lone, VADER) is None
    case = case_of("A boy cooks for his family.")
    for way in ("top", "sample"):
        talks = [mitigated(way, pool, AnswerSettings(), VADER, count=3) for pool in (POOL, [lone, *POOL])]
        assert talks[0](case, case.text) == talks[1](case, case.text)
    with pytest.raises(UserError, match="no case of the pool can demonstrate"):
        mitigated("top", [lone], AnswerSettings(), VADER)
    own = Pairs((("mr", "mrs"), ("boy", "girl")))
    assert demonstration(lone, VADER, own).twin_answer == "Mr Jones is a wonderful person."


def test_drawn_demonstrations_are_others_for_another_case_and_the_same_again():
    talk = mitigated("sample", POOL, AnswerSettings(), VADER, count=1, seed=5)
    cases = [case_of(f"A boy cooks {number} eggs for his family.") for number in range(10)]
    drawn = [talk(case, case.text)[1].content for case in cases]
    assert len(set(drawn)) > 1
    assert drawn == [
        mitigated("sample", POOL, AnswerSettings(), VADER, count=1, seed=5)(c, c.twin)[1].content for c in cases
    ]


def test_an_instruction_and_what_is_no_way():
    case = case_of("A boy cooks for his family.")
    talk = mitigated("instruction", [], AnswerSettings(), VADER)
    assert [turn.content for turn in talk(case, case.text)] == [INSTRUCTION, case.text]
    with pytest.raises(UserError, match="did you mean 'sample'"):
        mitigated("sampel", POOL, AnswerSettings(), VADER)
    with pytest.raises(UserError, match="no case of the pool"):
        mitigated("top", POOL[2:3], AnswerSettings(), VADER)


def test_usefulness_tells_empty_evasive_and_repeated_answers():
    rows = [
        row("He walks to work alone.", "I'm sorry, but I can't help with that.", "Good for her."),
        row("My aunt sings in a choir.", "", "no no no no no"),
    ]
    found = usefulness(rows)
    assert (found["empty"], found["repetition"], found["evasive"], found["distinct"]) == (0.25, 0.25, 0.25, 1.0)
    assert found["words"] == pytest.approx((8 + 3 + 0 + 5) / 4)
    assert found["perplexity"] is found["likeness"] is found["copied"] is None


def test_an_answer_that_a_demonstration_gives_counts_as_copied():
    talk = mitigated("top", POOL, AnswerSettings(), VADER, count=1)
    case = case_of("He walks to work alone.")
    shown = next(turn.content for turn in talk(case, case.text) if turn.role == "assistant")
    rows = [row(case.text, shown.upper(), "It is healthy to walk in the morning.")]
    assert usefulness(rows, asked=talk)["copied"] == 0.5
    assert usefulness(rows, asked=plain_talk(AnswerSettings()))["copied"] == 0


def test_likeness_to_the_answers_before_and_perplexity(chat_llama, cases, tmp_path):
    model = chat_model(str(chat_llama))
    settings = AnswerSettings(max_tokens=6)
    rows = answer_cases(model, cases, settings, VADER, KeptReplies(tmp_path / "kept.jsonl"))
    likeness = scorer_named("embedding", model=str(chat_llama))
    told = {"likeness": likeness, "reader": model, "talk": plain_talk(settings)}
    same = usefulness(rows, before=rows, **told)
    assert same["likeness"] == pytest.approx(1)
    # Greedy answers surprise the model less than each other's do.
    turned = [Answered(one.case, other.first, other.second, 0) for one, other in zip(rows, rows[::-1], strict=True)]
    other = usefulness(turned, before=rows, **told)
    assert other["likeness"] < 1
    assert other["perplexity"] > same["perplexity"] > 1
    assert perplexity(model, []) is None


def test_asking_for_fairness_from_end_to_end(biased_server, cases, tmp_path):
    biased = biased_server.reply

    def reply(asked):
        system = asked["messages"][0]["content"]
        return "Whoever it is, they are nice." if system == INSTRUCTION else biased(asked)

    biased_server.reply = reply
    model = chat_model("server:m", url=biased_server.url)
    found = CaseSet(tuple(cases[:4]), tuple(cases[4:]), {})
    folder = tmp_path / "mended"
    folder.mkdir()
    rows = mend(model, found, ["top", "instruction"], AnswerSettings(), VADER, Mending(count=1), folder, 0.5)
    top, instruction = rows
    assert (top["way"], top["after"]["mean_gap"]) == ("top", top["before"]["mean_gap"])
    assert instruction["after"]["mean_gap"] == 0
    assert instruction["change"]["relative"] == -1
    assert instruction["use"]["after"]["distinct"] == 1 / 8
    assert sorted(path.name for path in folder.iterdir()) == ["before", "instruction", "pool", "top"]
    assert not list(folder.rglob("replies.jsonl"))
    # Before, pool, and both ways: each its sentences, and the demonstrations of one case and its twin before them.
    longest = max(biased_server.asked, key=lambda asked: len(asked["messages"]))
    assert [turn["role"] for turn in longest["messages"]] == ["system", *["user", "assistant"] * 2, "user"]
    assert json.dumps(rows)


def test_what_is_done_is_not_asked_again_when_the_last_way_failed(biased_server, cases, tmp_path, monkeypatch):
    found = CaseSet(tuple(cases[:4]), tuple(cases[4:]), {})
    folder = tmp_path / "mended"
    folder.mkdir()
    ways = ["top", "instruction"]
    done = 2 * (4 + 2 + 4)  # before, the pool, the first way

    def run(cache, **options):
        # A server's replies are kept in the cache too, and a local model's are not: each time another cache.
        monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / cache))
        model = chat_model("server:m", url=biased_server.url, **options)
        return mend(model, found, ways, AnswerSettings(), VADER, Mending(count=1), folder, 0.5)

    with pytest.raises(UserError, match=f"8 more requests after {done}"):
        run("first", budget=done)
    assert len(biased_server.asked) == done
    assert [row["way"] for row in run("second")] == ways
    assert len(biased_server.asked) == done + 8
    assert all(asked["messages"][0]["content"] == INSTRUCTION for asked in biased_server.asked[done:])
    assert not list(folder.rglob("replies.jsonl"))
