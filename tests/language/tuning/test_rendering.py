"""What carries loss: the assistant's words and the mark that ends them, and nothing else."""

import pytest

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.language.chat import Message
from syn2real.language.tuning import ChatExample, Preference
from syn2real.language.tuning.rendering import IGNORED, chat_rows, labelled, preference_rows

TALK = (
    Message("system", "Be brief."),
    Message("user", "assistant? Naïve 🙂"),
    Message("assistant", "Yes, naïve 🙂 indeed"),
    Message("user", "Yes, naïve 🙂 indeed"),
    Message("assistant", "Bye"),
)


def test_the_assistants_turns_alone_are_learnt(tokenizer):
    tokens = labelled(tokenizer, TALK)
    assert tokenizer.decode(tokens.ids).count("<|im_start|>") == 5
    spoken = [label for label in tokens.labels if label != IGNORED]
    assert tokenizer.decode(spoken) == "Yes, naïve 🙂 indeed<|im_end|>Bye<|im_end|>"
    assert all(label in (token, IGNORED) for token, label in zip(tokens.ids, tokens.labels, strict=True))
    assert tokens.labels[0] == tokens.labels[-1] == IGNORED  # the line break after the last mark


def test_cut_and_dropped_examples_are_counted(tokenizer):
    example = ChatExample(TALK[1:3])
    whole = labelled(tokenizer, example.messages)
    first = next(place for place, label in enumerate(whole.labels) if label != IGNORED)
    rows = chat_rows(tokenizer, [example, example], first + 2)
    assert (len(rows), rows.truncated, rows.dropped, rows.learnt) == (2, 2, 0, 4)
    assert rows.columns["input_ids"][0] == whole.ids[: first + 2]
    rows = chat_rows(tokenizer, [example], first)
    assert (len(rows), rows.truncated, rows.dropped) == (0, 0, 1)


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer):
    """As those do that take a model's thoughts out of the turns before the last."""
    before = tokenizer.chat_template
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last or m.role == 'user' else '...' }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    try:
        with pytest.raises(UserError, match="example 1: turn 3: the model's chat template writes it otherwise"):
            chat_rows(tokenizer, [ChatExample(TALK)], 100)
        assert chat_rows(tokenizer, [ChatExample(TALK[1:3])], 100).learnt
    finally:
        tokenizer.chat_template = before


def test_a_template_may_refuse_a_conversation(tokenizer):
    before = tokenizer.chat_template
    tokenizer.chat_template = "{{ raise_exception('no system messages') }}"
    try:
        with pytest.raises(UserError, match="example 1: the model's chat template refuses it: no system messages"):
            chat_rows(tokenizer, [ChatExample(TALK)], 100)
    finally:
        tokenizer.chat_template = before


def test_preferences_end_in_one_mark(tokenizer):
    pair = Preference(TALK[1:2], "Yes, with pleasure.", "No")
    rows = preference_rows(tokenizer, [pair], 100, rendered=True)
    (prompt,), (chosen,), (rejected,) = rows.columns.values()
    assert prompt.endswith("<|im_start|>assistant\n")
    assert (chosen, rejected) == ("Yes, with pleasure.<|im_end|>", "No<|im_end|>")
    given = len(tokenizer(prompt, add_special_tokens=False).input_ids)
    words = [len(tokenizer(reply).input_ids) for reply in (chosen, rejected)]
    assert words[0] == 6 and words[1] == 2  # the mark is one
    assert (rows.lengths, rows.learnt, rows.truncated) == ([given + 6], 6 + 2, 0)
    assert preference_rows(tokenizer, [pair], given, rendered=True).dropped == 1
    cut = preference_rows(tokenizer, [pair], given + 3, rendered=False)
    assert (cut.truncated, cut.learnt) == (1, 3 + 2)
    assert cut.columns["chosen"] == [[{"role": "assistant", "content": "Yes, with pleasure."}]]
