"""Chat models of a server: asked as OpenAI is asked, again where that helps, and never twice for the same."""

import os
import signal
import time

import pytest

from syn2real.cache import cache_directory
from syn2real.errors import UserError
from syn2real.language.chat import Message, Sampling, chat_model
from syn2real.lines import appended_jsonl

HI = (Message("system", "Be brief."), Message("user", "hi"))


def turns(*texts):
    return [(Message("user", text),) for text in texts]


def test_asks_as_openai_is_asked(chat_server, monkeypatch):
    monkeypatch.setenv("CHAT_KEY", "secret")
    model = chat_model("server:small", url=chat_server.url + "/v1/", key="CHAT_KEY")
    assert model.replies([HI], Sampling(0.7, 0.9, 32), [5]) == ["I heard hi"]
    assert chat_server.asked == [
        {
            "path": "/v1/chat/completions", "key": "Bearer secret", "model": "small", "temperature": 0.7, "top_p": 0.9,
            "max_tokens": 32, "seed": 5,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        }
    ]  # fmt: skip


def test_replies_come_in_order_and_the_same_request_is_made_once(chat_server):
    texts = [f"number {number}" for number in range(20)]
    model = chat_model("server:m", url=chat_server.url)
    assert model.replies(turns(*texts, *texts), Sampling(), [0] * 40) == [f"I heard {text}" for text in texts] * 2
    assert len(chat_server.asked) == 20
    again = chat_model("server:m", url=chat_server.url)
    again.replies(turns(*texts), Sampling(), [0] * 20)
    assert len(chat_server.asked) == 20
    again.replies(turns(texts[0]), Sampling(), [1])
    assert len(chat_server.asked) == 21


@pytest.mark.parametrize("trouble", [(429, b"slow down"), (503, b"busy"), (500, b"")])
def test_tries_again(chat_server, trouble):
    chat_server.answers = [trouble, trouble]
    assert chat_model("server:m", url=chat_server.url).replies([HI], Sampling(), [0]) == ["I heard hi"]
    assert len(chat_server.asked) == 3


def test_waits_as_long_as_it_is_asked_to(chat_server):
    chat_server.answers = [(429, b"", {"Retry-After": "1"})]
    start = time.monotonic()
    chat_model("server:m", url=chat_server.url).replies([HI], Sampling(), [0])
    assert time.monotonic() - start >= 1


def test_keeps_a_minutes_measure(chat_server):
    start = time.monotonic()
    chat_model("server:m", url=chat_server.url, per_minute=600).replies(turns("a", "b", "c", "d"), Sampling(), [0] * 4)
    assert time.monotonic() - start >= 0.3


def test_a_refusal_is_one_line_without_the_key_and_loses_no_answer(chat_server, monkeypatch):
    monkeypatch.setenv("CHAT_KEY", "hush-hush")
    model = chat_model("server:m", url=chat_server.url, key="CHAT_KEY", at_once=1)
    model.replies(turns("a"), Sampling(), [0])
    chat_server.answers = [(200, b'{"choices": [{"message": {"content": "B"}}]}'), (401, b"no such key: hush-hush")]
    with pytest.raises(UserError, match=r"status 401 \(no such key: \*\*\*\) \(tried 1 times\)") as error:
        model.replies(turns("b", "c", "d"), Sampling(), [0] * 3)
    assert "\n" not in str(error.value) and "hush" not in str(error.value)
    before = len(chat_server.asked)
    assert model.replies(turns("a", "b"), Sampling(), [0] * 2) == ["I heard a", "B"]
    assert len(chat_server.asked) == before


def test_an_answer_that_is_none_is_told(chat_server):
    chat_server.answers = [(200, b"<html>hello")]
    with pytest.raises(UserError, match="sent no completion but '<html>hello'"):
        chat_model("server:m", url=chat_server.url).replies([HI], Sampling(), [0])


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("server:m", {}, "needs an address: --url"),
        ("server:m", {"url": "localhost:1"}, "is no address"),
        ("server:m", {"url": "http://h", "key": "NO_SUCH_KEY"}, "NO_SUCH_KEY holds no key"),
        ("servr:m", {}, r"unknown chat model 'servr' \(did you mean 'server'\?\)"),
        ("smollm2-135", {}, r"did you mean 'smollm2-135m'\?"),
        ("smollm2-135m", {"url": "http://h"}, "takes no option 'url'"),
    ],
)
def test_what_cannot_be_chosen_is_told(name, options, problem):
    with pytest.raises(UserError, match=problem):
        chat_model(name, **options)


def test_a_budget_is_not_exceeded_and_what_was_paid_for_is_kept(chat_server):
    model = chat_model("server:m", url=chat_server.url, budget=3)
    assert model.replies(turns("a", "b", "a"), Sampling(), [0] * 3) == ["I heard a", "I heard b", "I heard a"]
    with pytest.raises(UserError, match="2 more requests after 2 exceed the budget of 3"):
        model.replies(turns("a", "c", "d"), Sampling(), [0] * 3)
    assert len(chat_server.asked) == 2
    assert model.replies(turns("b", "c"), Sampling(), [0] * 2) == ["I heard b", "I heard c"]


def test_what_was_answered_before_ctrl_c_is_kept_and_the_rest_is_not_asked(chat_server):
    def reply(asked):
        if asked["messages"][0]["content"] == "10":
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05 if len(chat_server.asked) <= 8 else 0.5)  # time for the signal to arrive
        return "heard"

    chat_server.reply = reply
    texts = [str(number) for number in range(32)]
    # A job in the background of a shell is born deaf to it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            chat_model("server:m", url=chat_server.url).replies(turns(*texts), Sampling(), [0] * 32)
    finally:
        signal.signal(signal.SIGINT, before)
    asked = len(chat_server.asked)
    assert 7 <= asked <= 20
    (kept,) = cache_directory().glob("replies/*.jsonl")
    assert len(list(appended_jsonl(kept))) == asked
    chat_model("server:m", url=chat_server.url).replies(turns(*texts), Sampling(), [0] * 32)
    assert len(chat_server.asked) == 32


def test_a_request_made_again_counts_and_keeps_the_pace(chat_server):
    chat_server.answers = [(503, b"busy")] * 2
    start = time.monotonic()
    chat_model("server:m", url=chat_server.url, per_minute=300).replies([HI], Sampling(), [0])
    assert time.monotonic() - start >= 0.4
    chat_server.answers = [(200, b'{"choices": [{"message": {"content": "A"}}]}'), (503, b"busy"), (503, b"busy")]
    model = chat_model("server:m", url=chat_server.url, budget=3, at_once=1)
    with pytest.raises(UserError, match="the budget of 3 requests is spent, for some had to be made again; raise it"):
        model.replies(turns("a", "b"), Sampling(), [0] * 2)
    assert len(chat_server.asked) == 3 + 3
    assert chat_model("server:m", url=chat_server.url, budget=1).replies(turns("a", "b"), Sampling(), [0] * 2) == [
        "A",
        "I heard b",
    ]


def test_half_a_character_is_replaced(chat_server):
    said = rb"\ud83d a \ude00 \ud83d\ude00 \u00e9"
    chat_server.answers = [(200, b'{"choices": [{"message": {"content": "%s"}}]}' % said)]
    model = chat_model("server:m", url=chat_server.url)
    assert model.replies([HI], Sampling(), [0]) == ["\ufffd a \ufffd \U0001f600 \u00e9"]
    assert model.replies([HI], Sampling(), [0]) == ["\ufffd a \ufffd \U0001f600 \u00e9"]
    assert len(chat_server.asked) == 1
