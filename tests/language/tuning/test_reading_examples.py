"""Every form of example, and what is said of the malformed."""

import json

import pytest

from syn2real.errors import UserError
from syn2real.language.chat import Message
from syn2real.language.tuning import ChatExample, Preference, read_examples

USER, REPLY, SYSTEM = Message("user", "Hi\nthere"), Message("assistant", "Hello"), Message("system", "Be brief.")
BEFORE = (Message("user", "One?"), Message("assistant", "Two."))
TURNS = [{"role": "user", "content": "Hi\nthere"}, {"role": "assistant", "content": "Hello"}]
OTHER = [TURNS[0], {"role": "assistant", "content": "Go away"}]


def write(path, rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(json.dumps(rows) if path.suffix == ".json" else lines, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "example"),
    [
        ({"messages": TURNS, "id": 7}, ChatExample((USER, REPLY))),
        ({"instruction": "Hi", "input": "there", "output": "Hello"}, ChatExample((USER, REPLY))),
        (
            {
                "instruction": "Hi\nthere",
                "input": "",
                "output": "Hello",
                "system": "Be brief.",
                "history": [["One?", "Two."]],
            },
            ChatExample((SYSTEM, *BEFORE, USER, REPLY)),
        ),
        ({"prompt": "Hi\nthere", "completion": "Hello"}, ChatExample((USER, REPLY))),
        ({"prompt": TURNS[:1], "completion": TURNS[1:]}, ChatExample((USER, REPLY))),
        ({"prompt": "Hi\nthere", "chosen": "Hello", "rejected": "Go away"}, Preference((USER,), "Hello", "Go away")),
        (
            {"messages": TURNS[:1], "chosen": "Hello", "rejected": "Go away", "system": "Be brief."},
            Preference((SYSTEM, USER), "Hello", "Go away"),
        ),
        (
            {"instruction": "Hi", "input": "there", "chosen": TURNS[1:], "rejected": OTHER[1:]},
            Preference((USER,), "Hello", "Go away"),
        ),
        ({"chosen": TURNS, "rejected": OTHER}, Preference((USER,), "Hello", "Go away")),
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_forms(tmp_path, row, example, suffix):
    assert read_examples(write(tmp_path / f"data{suffix}", [row, row])) == [example, example]


GOOD = {"prompt": "Hi", "completion": "Hello"}


def test_keys_of_ones_own_are_passed_over(tmp_path):
    """One that looks like a key which is there is not that key misspelt."""
    rows = [GOOD | {"id": 7}, GOOD | {"prompts": 1}]
    assert len(read_examples(write(tmp_path / "data.jsonl", rows))) == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"instruction": "Hi", "ouput": "Hello"}, "unknown key 'ouput' (did you mean 'output'?)"),
        ({"instruction": "Hi"}, "has no 'output'"),
        ({"text": "Hi"}, "holds no example: messages or instruction and output or"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "the conversation ends in the user's turn"),
        (
            {"messages": [*TURNS[:1], {"role": "assistent", "content": "x"}]},
            "turn 2: unknown role 'assistent' (did you",
        ),
        (
            {"messages": [*TURNS[:1], {"role": "assistant", "text": "x"}]},
            "messages: turn 2: has no 'content', only 'role', 'text'",
        ),
        ({"messages": [*TURNS[:1], {"role": "system", "content": "x"}, *TURNS[1:]]}, "turn 2: a system message stands"),
        ({"messages": [{"role": "user", "content": " "}, *TURNS[1:]]}, "turn 1: the user's is empty"),
        ({"prompt": "Hi", "completion": 7}, "completion: a list of turns is expected"),
        ({"instruction": 7, "output": "x"}, "instruction: text is expected, not 7"),
        ({"instruction": "Hi", "output": "x", "history": ["One?"]}, "history: 1: a pair of question and answer"),
        ({"instruction": "Hi", "output": "x", "history": 5}, "history: a list of pairs is expected"),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}, "replies and preferences are mixed"),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": "Hello"}, "chosen and rejected are the same"),
        ({"chosen": "Hello", "rejected": "Go"}, "chosen and rejected lack their prompt"),
        (
            {"chosen": TURNS, "rejected": [{"role": "user", "content": "Ho"}, *OTHER[1:]]},
            "chosen and rejected do not begin with the same",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, row, problem):
    with pytest.raises(UserError) as lines:
        read_examples(write(tmp_path / "data.jsonl", [GOOD, row]))
    assert str(lines.value).startswith(f"{tmp_path / 'data.jsonl'}:2: {problem}")
    with pytest.raises(UserError) as items:
        read_examples(write(tmp_path / "data.json", [GOOD, row]))
    assert str(items.value).startswith(f"{tmp_path / 'data.json'}: item 2: {problem}")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("data.jsonl", "", ": holds no examples"),
        ("data.jsonl", '{"prompt": "a"', ":1: not JSON"),
        ("data.json", '[{"prompt":\n]', ":2: not JSON"),
        ("data.json", "{}", ": is no list; a .json file is one, [..., ...]"),
        ("data.json", '[{"prompt": "a\\ud800", "completion": "b"}]', ": item 1: half a character, \\ud800"),
        ("data.json", "[" + "1" * 5000 + "]", ": a number too long"),
        ("data.json", "[" * 100_000, ": a number too long or brackets too deep"),
        ("data.json", "[7]", ": item 1: not a JSON object"),
    ],
)
def test_broken_files(tmp_path, name, text, problem):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_examples(path)
    assert str(error.value).startswith(f"{path}{problem}")


def test_a_missing_file_is_named(tmp_path):
    for name in ("none.json", "none.jsonl"):
        with pytest.raises(UserError, match=f"{name}: No such file"):
            read_examples(tmp_path / name)
