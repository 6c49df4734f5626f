"""The errors a user may meet: one line that says what was wrong, where, and what to do about it."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

ALIKE = 0.8  # of a key that may be somebody's own, to be taken for a misspelt one


class UserError(Exception):
    """Something the user can mend. The CLI prints it as one line and exits with status 1; a traceback is for bugs."""


class CheckpointMismatch(UserError):
    """Two checkpoints that cannot be combined: names, shapes, dtypes or vocabularies differ."""


class AudioError(UserError):
    """A recording that is missing, unreadable, empty, silent, not a number, or longer than the model's window."""


class NotInstalled(UserError):
    """An optional package is missing. The message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed: run `pip install 'syn2real[{extra}]'`")


def one_line(error: BaseException, length: int = 160) -> str:
    """What a foreign library's error says, in one line of at most ``length`` characters; its kind where it says
    nothing."""
    return (" ".join(str(error).split()) or type(error).__name__)[:length]


def printable(text: str) -> str:
    """Foreign text for a terminal or a page: without the characters that steer one, or that have no UTF-8."""
    return "".join(char if char.isprintable() else "�" for char in text)


def require_none(problems: Sequence[UserError], heading: str) -> None:
    """Raise what there is: a single problem as it is, several as a list under their number and ``heading``."""
    if len(problems) > 1:
        raise UserError(f"{len(problems)} {heading}:" + "".join(f"\n  - {problem}" for problem in problems))
    for problem in problems:
        raise problem


def at(path: Path | str, line: int | None, problem: str) -> str:
    """``file:line: problem``, the form editors can jump to."""
    return f"{path}:{line}: {problem}" if line is not None else f"{path}: {problem}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` when a choice is close to ``word``, else the choices themselves."""
    known = sorted(choices)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (choose from {', '.join(known)})" if known else ""


def require_spelt(row: Iterable[str], known: Collection[str]) -> None:
    """Raise `UserError` for a key that looks like one of those ``known`` which the row lacks: it is taken for that one,
    misspelt. A key that looks like none is somebody's own."""
    given = list(row)
    for key in given:
        close = get_close_matches(key, known, n=1, cutoff=ALIKE)
        if key not in known and close and close[0] not in given:
            raise UserError(f"unknown key {key!r} (did you mean {close[0]!r}?)")
