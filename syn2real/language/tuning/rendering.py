"""Examples as the model's chat template writes them, in tokens, with what of them is learnt: the assistant's turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syn2real.errors import UserError, one_line
from syn2real.language.chat import Message
from syn2real.language.tuning.examples import ChatExample, Example, Preference

IGNORED = -100  # the label of a token that carries no loss


@dataclass(frozen=True)
class Tokens:
    """Token ids, and the same or `IGNORED` for each: what of them is to be predicted."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Rows:
    """What a trainer is given, as columns, and what the cut-off did to it."""

    columns: dict[str, list[Any]]
    lengths: list[int]  # tokens of each row
    learnt: int  # tokens that carry loss, in all
    truncated: int = 0  # examples that lost their end
    dropped: int = 0  # examples of whose replies nothing was left

    def __len__(self) -> int:
        return len(self.lengths)


def chat_rows(tokenizer: Any, examples: Sequence[Example], cut_off: int) -> Rows:
    """Columns ``input_ids`` and ``labels`` of `ChatExample`s, cut after ``cut_off`` tokens. Examples of which nothing
    is left to learn are dropped, and counted."""
    found, truncated = [], 0
    for number, example in enumerate(examples, start=1):
        assert isinstance(example, ChatExample)
        tokens = _numbered(number, labelled, tokenizer, example.messages)
        kept = Tokens(tokens.ids[:cut_off], tokens.labels[:cut_off])
        if any(label != IGNORED for label in kept.labels):
            found.append(kept)
            truncated += len(tokens.ids) > cut_off
    columns = {"input_ids": [tokens.ids for tokens in found], "labels": [tokens.labels for tokens in found]}
    learnt = sum(label != IGNORED for tokens in found for label in tokens.labels)
    lengths = [len(tokens.ids) for tokens in found]
    return Rows(columns, lengths, learnt, truncated, len(examples) - len(found))


def preference_rows(tokenizer: Any, examples: Sequence[Example], cut_off: int, *, rendered: bool) -> Rows:
    """Columns ``prompt``, ``chosen`` and ``rejected`` of `Preference`s: as text that the template has ``rendered``, or
    as messages.

    The trainer cuts replies after ``cut_off`` tokens; examples whose prompt leaves it fewer than one are dropped here,
    and counted.
    """
    columns: dict[str, list[Any]] = {"prompt": [], "chosen": [], "rejected": []}
    lengths, learnt, truncated = [], 0, 0
    for number, example in enumerate(examples, start=1):
        assert isinstance(example, Preference)
        texts = [
            _numbered(number, _prompt_and_reply, tokenizer, (*example.prompt, Message("assistant", reply)))
            for reply in (example.chosen, example.rejected)
        ]
        prompt = texts[0][0]
        before = len(_ids(tokenizer, prompt))
        whole = [len(_ids(tokenizer, prompt + reply)) for _, reply in texts]
        if before >= cut_off:
            continue
        truncated += max(whole) > cut_off
        lengths.append(min(max(whole), cut_off))
        learnt += sum(min(length, cut_off) - before for length in whole)
        if rendered:
            row: tuple[Any, ...] = (prompt, texts[0][1], texts[1][1])
        else:
            replies = ([_plain(Message("assistant", reply))] for reply in (example.chosen, example.rejected))
            row = ([_plain(turn) for turn in example.prompt], *replies)
        for name, value in zip(columns, row, strict=True):
            columns[name].append(value)
    return Rows(columns, lengths, learnt, truncated, len(examples) - len(lengths))


def labelled(tokenizer: Any, messages: Sequence[Message]) -> Tokens:
    """A conversation in tokens, of which each assistant's turn is labelled from its first word to the token that ends
    it; not the header before it, which is given when the model is asked.

    Raises `UserError` for a template that writes a turn otherwise once others follow it.
    """
    text = render(tokenizer, messages)
    spans = [
        _span(tokenizer, text, messages[: place + 1]) for place, turn in enumerate(messages) if turn.role == "assistant"
    ]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = [int(token) for token in encoded["input_ids"]]
    within = [any(start <= first < end for start, end in spans) for first, _ in encoded["offset_mapping"]]
    labels = [token if learnt else IGNORED for token, learnt in zip(ids, within, strict=True)]
    return Tokens(ids, labels)


def render(tokenizer: Any, messages: Sequence[Message], *, asking: bool = False) -> str:
    """A conversation as the template writes it; with ``asking``, up to where the assistant's words begin. Raises
    `UserError` for one that the template refuses."""
    turns = [_plain(turn) for turn in messages]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=asking))
    except Exception as error:  # whatever the template raises
        raise UserError(f"the model's chat template refuses it: {one_line(error)}") from error


def _span(tokenizer: Any, text: str, messages: Sequence[Message]) -> tuple[int, int]:
    """Where in ``text`` the last turn of ``messages`` stands: its words, and the mark that ends them."""
    before = render(tokenizer, messages[:-1], asking=True)
    # White space after the mark is of the template's layout: nobody waits for it.
    whole = render(tokenizer, messages).rstrip()
    if not (whole.startswith(before) and text.startswith(whole)):
        raise UserError(
            f"turn {len(messages)}: the model's chat template writes it otherwise when it is asked for, so what is"
            " learnt would not be what is needed; give conversations of one reply each"
        )
    return len(before), len(whole)


def _prompt_and_reply(tokenizer: Any, messages: Sequence[Message]) -> tuple[str, str]:
    """What is given, and what is to follow, as text."""
    text = render(tokenizer, messages)
    start, end = _span(tokenizer, text, messages)
    return text[:start], text[start:end]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _plain(turn: Message) -> dict[str, str]:
    return {"role": turn.role, "content": turn.content}


def _numbered(number: int, make: Any, *arguments: Any) -> Any:
    try:
        return make(*arguments)
    except UserError as error:
        raise UserError(f"example {number}: {error}") from error
