"""An answer that is longer than a judge's context does not end the judging of all others."""

import pytest

from syn2real.language.chat.kept import KeptReplies
from syn2real.language.safety import Answer, SafetyPrompt, Verdict, judge_named
from syn2real.language.safety.fitting import LEAST, fitting

SHORT = Answer(SafetyPrompt("short", "request"), "answer")
LONG = Answer(SafetyPrompt("long", "request"), "answer " * 500)
NO_ROOM = Answer(SafetyPrompt("no room", "request " * 500), "answer")


def test_the_longest_beginning_that_fits_is_shown(capsys):
    def fits(answer: Answer) -> bool:
        return len(answer.prompt.text) + len(answer.response) <= 1000

    short, long, none = fitting([SHORT, LONG, NO_ROOM], fits, "some judge")
    assert short is SHORT and none is None
    assert long == Answer(LONG.prompt, LONG.response[:993])
    said = " ".join(capsys.readouterr().err.split())
    assert "some judge: 1 of 3 answers are longer than its context" in said and "1 of 3 answers are not judged" in said


def test_too_little_is_not_shown():
    def room(characters: int):
        return lambda answer: len(answer.response) <= characters

    assert fitting([LONG], room(LEAST - 1), "judge") == [None]
    (least,) = fitting([LONG], room(LEAST), "judge")
    assert len(least.response) == LEAST


@pytest.mark.parametrize("name", ["wildguard", "llama-guard-3", "chat"])
def test_judging_goes_on(name, chat_llama, tmp_path):
    (tmp_path / "card.txt").write_text("[INST] {prompt} --- {response} [/INST]")
    options = {"template": tmp_path / "card.txt"} if name == "wildguard" else {}
    judge = judge_named(name, model=str(chat_llama), **options)
    kept = KeptReplies(tmp_path / "said.jsonl")
    no_room, first, long, last = judge.verdicts([NO_ROOM, SHORT, LONG, SHORT], kept)
    assert no_room == Verdict(None) and first == last
    assert all(verdict.said for verdict in (first, long))  # by the model
    # Of itself, what the others are has no part in it.
    assert judge.verdicts([LONG], KeptReplies(tmp_path / "again.jsonl")) == [long]
