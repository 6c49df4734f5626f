"""What takes the place of a file that is not there in a dry run: as many things as would be used, of no meaning."""

from pathlib import Path

from syn2real.experiments.alignment.questions import Question
from syn2real.language.bias.cases import Case
from syn2real.language.chat import Message
from syn2real.language.safety import SafetyPrompt
from syn2real.language.tuning import Preference


def stand_in_prompts(path: Path, count: int, harmless: bool) -> list[SafetyPrompt]:
    """So many requests."""
    return [SafetyPrompt(name, name, not harmless, source=path.stem) for name in _names(path, count)]


def stand_in_questions(path: Path, count: int) -> list[Question]:
    """So many examples."""
    return [Question(name, name) for name in _names(path, count)]


def stand_in_cases(path: Path, count: int) -> list[Case]:
    """So many sentences with their twins."""
    return [Case(name, name, name) for name in _names(path, count)]


def stand_in_preferences(path: Path, count: int) -> list[Preference]:
    """So many preferences."""
    return [Preference((Message("user", name),), "yes", "no") for name in _names(path, count)]


def _names(path: Path, count: int) -> list[str]:
    # Each one word, and so not like any other.
    return [f"{path.stem}{place}" for place in range(count)]
