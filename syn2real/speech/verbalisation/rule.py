"""One rule: what is looked for, and what is said in its place."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# The full stop of an abbreviation within a sentence; one before a capital or at the end may end the sentence too.
INNER_STOP = r"(?:\.(?=[,;:)]|\s+[a-zß-ÿ0-9]))?"


@dataclass(frozen=True)
class Rule:
    """``say`` gets a match and gives the words, or None to leave it as it is."""

    kind: str  # names the change in reports
    pattern: re.Pattern[str]
    say: Callable[[re.Match[str]], str | None]
    needs: str = ""  # characters of which a text must have one to match: looked for first, as it is quick
    digits: bool = True  # only texts with digits can match


def one_of(choices: Iterable[str]) -> str:
    """A pattern of any of the choices, the longest first; one that never matches when there are none."""
    ordered = sorted(choices, key=len, reverse=True)
    return "(?:" + "|".join(re.escape(choice) for choice in ordered) + ")" if ordered else r"(?!)"
