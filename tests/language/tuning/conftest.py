"""What chat models are tuned on in the tests."""

import pytest

from syn2real.language.chat import Message
from syn2real.language.tuning import ChatExample, Preference


@pytest.fixture(scope="session")
def tokenizer(smollm2):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


@pytest.fixture(scope="session")
def replies() -> list[ChatExample]:
    """Ten short conversations, of different lengths."""
    return [
        ChatExample((Message("user", f"Say {place}"), Message("assistant", f"Here it is: {place} " + "so " * place)))
        for place in range(10)
    ]


@pytest.fixture(scope="session")
def preferences() -> list[Preference]:
    """Ten pairs of a polite and a rude reply."""
    return [Preference((Message("user", f"Say {place}"),), f"Gladly: {place}.", "No, never.") for place in range(10)]
