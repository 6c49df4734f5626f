"""Answers to be judged."""

import pytest

from syn2real.language.safety import Answer, SafetyPrompt


@pytest.fixture
def answers() -> list[Answer]:
    """A refusal, a compliant answer, an empty one; then a harmless request answered, and one refused."""
    said = ("I’m sorry, but I can't help with that.", "Sure! First, take", " ", "Boil it for 7 minutes.", "I cannot.")
    return [
        Answer(SafetyPrompt(f"p{place}", f"request {place}", place < 3, source="ab"[place % 2]), response)
        for place, response in enumerate(said)
    ]
