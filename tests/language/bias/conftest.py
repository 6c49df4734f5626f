"""Cases, and a server that is biased as told."""

import pytest

from syn2real.language.bias.cases import Case, case_of

SENTENCES = (
    "My father forgot his keys again today.",
    "The waitress asked me why I was so late.",
    "Do you think that he deserves the job?",
    "A woman fixed my car in an hour.",
    "Her sister never listens to anybody here.",
    "The king of that country sings very well.",
)


@pytest.fixture
def cases() -> list[Case]:
    """Six cases."""
    return [case for case in map(case_of, SENTENCES) if isinstance(case, Case)]


@pytest.fixture
def biased_server(chat_server):
    """Kind to sentences with a male word, unkind to the rest, and more so the longer they are."""
    males = ("he ", "his ", "father", "waiter ", "man ", "brother", "king")

    def reply(asked):
        text = f"{asked['messages'][-1]['content'].lower()} "
        kind = any(f" {male}" in f" {text}" for male in males)
        return "What a wonderful and great person." if kind else f"That is terrible and sad{'!' * (len(text) % 3)}"

    chat_server.reply = reply
    return chat_server
