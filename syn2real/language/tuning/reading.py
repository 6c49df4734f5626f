"""Reading examples: chat JSONL, instructions as LLaMA-Factory has them, prompts with completions, and preferences."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, require_spelt
from syn2real.language.chat import Message
from syn2real.language.tuning.examples import ChatExample, Example, Preference
from syn2real.lines import read_json_list, read_jsonl

# Of each form: the keys that tell it, and those that it may have besides.
FORMS = {
    "chat": (("messages",), ()),
    "instruction": (("instruction", "output"), ("input", "system", "history")),
    "completion": (("prompt", "completion"), ("system",)),
    "preference": (("chosen", "rejected"), ("prompt", "messages", "instruction", "input", "system", "history")),
}
KEYS = sorted({key for must, may in FORMS.values() for key in (*must, *may)})


def read_examples(path: Path) -> list[Example]:
    """The examples of a JSONL file, or of a JSON file with one list, all of one kind.

    A row's keys say its form:

    - ``messages``: a list of ``role`` and ``content``
    - ``instruction``, ``output``, and perhaps ``input``, ``system``, ``history`` (pairs of question and answer)
    - ``prompt`` (text or messages), ``completion``, and perhaps ``system``
    - ``chosen``, ``rejected`` (text or messages), and their prompt in one of the ways above; without one, the turns
      that both begin with

    Other keys, an id for instance, are passed over, but not one that looks like a misspelt key of these that is
    missing. Raises `UserError` with file and line, or with the number of the item in a list.
    """
    found: list[Example] = []
    for where, row in _rows(path):
        try:
            example = example_of(row)
            if found and type(example) is not type(found[0]):
                raise UserError("replies and preferences are mixed; put them in files of their own")
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        found.append(example)
    if not found:
        raise UserError(f"{path}: holds no examples")
    return found


def example_of(row: Mapping[str, Any]) -> Example:
    """The example that a row holds. Raises `UserError`."""
    require_spelt(row, KEYS)
    if "chosen" in row or "rejected" in row:
        return _preference(row)
    if "messages" in row:
        return ChatExample(_messages(row["messages"], "messages"))
    if "completion" in row:
        reply = _reply(_given(row, "completion"), "completion")
        return ChatExample((*_prompt(row), Message("assistant", reply)))
    if "output" in row or "instruction" in row:
        return ChatExample((*_prompt(row), Message("assistant", _text(_given(row, "output"), "output"))))
    known = " or ".join(" and ".join(must) for must, _ in FORMS.values())
    raise UserError(f"holds no example: {known} are expected, not {', '.join(map(str, row)) or 'nothing'}")


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row, with where it stands."""
    if path.suffix != ".json":
        for number, row in read_jsonl(path):
            yield f"{path}:{number}", row
        return
    for number, row in enumerate(read_json_list(path), start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}: item {number}: not a JSON object; each item is one {{...}}")
        yield f"{path}: item {number}", row


def _preference(row: Mapping[str, Any]) -> Preference:
    chosen, rejected = (_given(row, name) for name in ("chosen", "rejected"))
    if {"prompt", "messages", "instruction"} & set(row):
        return Preference(_prompt(row), _reply(chosen, "chosen"), _reply(rejected, "rejected"))
    # Each a whole conversation, the prompt included.
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise UserError("chosen and rejected lack their prompt; add one as text or as messages")
    *before, better = _messages(chosen, "chosen")
    *begun, worse = _messages(rejected, "rejected")
    if before != begun:
        raise UserError("chosen and rejected do not begin with the same turns, so they answer different prompts")
    if better.role != "assistant" or worse.role != "assistant":
        raise UserError("chosen and rejected must end in the assistant's turn")
    return Preference(tuple(before), better.content, worse.content)


def _prompt(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """The turns before the reply: system, history, and what is asked."""
    if "messages" in row or isinstance(row.get("prompt"), list):
        name = "messages" if "messages" in row else "prompt"
        asked = _messages(row[name], name)
        if row.get("system") and any(turn.role == "system" for turn in asked):
            raise UserError(f"system is given twice: by its key, and in {name}")
    else:
        name = "prompt" if "prompt" in row else "instruction"
        text = _text(_given(row, name), name)
        more = _text(row.get("input") or "", "input")
        asked = (Message("user", f"{text}\n{more}" if more else text),)
    system = _text(row.get("system") or "", "system")
    before = [Message("system", system)] if system else []
    history = row.get("history") or []
    if not isinstance(history, list):
        raise UserError('history: a list of pairs is expected, [["question", "answer"], ...]')
    for number, pair in enumerate(history, start=1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise UserError(f'history: {number}: a pair of question and answer is expected, ["...", "..."]')
        before += [Message("user", _text(pair[0], "history")), Message("assistant", _text(pair[1], "history"))]
    return (*before, *asked)


def _messages(value: Any, name: str) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise UserError(f'{name}: a list of turns is expected, [{{"role": "user", "content": "..."}}, ...]')
    found = []
    for number, turn in enumerate(value, start=1):
        where = f"{name}: turn {number}"
        if not isinstance(turn, dict):
            raise UserError(f'{where}: {{"role": ..., "content": ...}} is expected')
        for key in ("role", "content"):
            if key not in turn:
                raise UserError(f"{where}: has no {key!r}, only {', '.join(map(repr, turn)) or 'nothing'}")
        found.append(Message(_text(turn["role"], where), _text(turn["content"], where)))  # type: ignore[arg-type]
    return tuple(found)


def _reply(value: Any, name: str) -> str:
    """A reply as text, or as the one turn of the assistant."""
    if isinstance(value, str):
        return value
    turns = _messages(value, name)
    if len(turns) != 1 or turns[0].role != "assistant":
        raise UserError(f"{name}: text or one turn of the assistant is expected beside a prompt")
    return turns[0].content


def _given(row: Mapping[str, Any], key: str) -> Any:
    if key not in row:
        raise UserError(f"has no {key!r}")
    return row[key]


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name}: text is expected, not {json.dumps(value, ensure_ascii=False)[:40]}")
    return value
