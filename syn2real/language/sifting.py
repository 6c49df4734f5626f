"""Lines of a chat model's reply, and which of them are new sentences."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from syn2real.language.likeness import Neighbours

Reason = Literal[
    "no sentence", "cut off", "length", "characters", "prompt again", "seed again", "duplicate", "near duplicate"
]

_MARK = re.compile(r"^\s*(?:[-*•–—>#]+\s+|\(?\d{1,3}[.):](?!\d)\s*|\(?[a-z][.)]\s+|\d{1,3}\s+-\s+)+")
_QUOTES = "\"'“”„«»‘’`*_"
_ENDS = (".", "!", "?", "…", "。", "؟", "।")
_COMMENT = re.compile(r"^(?:sure|certainly|of course|okay|ok|here(?:'s| is| are)|note)\b.*[:!.]$", re.IGNORECASE)
COPIED = 6  # words in a row that only the prompt's instructions have


def lines_of(reply: str) -> list[str]:
    """The lines of a reply without numbering, bullets, quotation marks and fences; headings and blank lines are gone.

    >>> lines_of('Sure:\\n1. "Wake me up."\\n- **Play jazz**')
    ['Wake me up.', 'Play jazz']
    """
    found = []
    for line in reply.splitlines():
        text = _MARK.sub("", line).strip()
        if line.strip().startswith("```") or text.endswith((":", ":**")):
            continue
        text = " ".join(text.strip(_QUOTES + " ").split())
        if text:
            found.append(text)
    return found


def is_cut_off(lines: list[str]) -> bool:
    """Whether the last line ends without the mark that most others end with, as when a reply grew too long."""
    ended = [line.endswith(_ENDS) for line in lines]
    return len(lines) > 2 and not ended[-1] and sum(ended[:-1]) * 2 > len(lines) - 1


@dataclass(frozen=True)
class Limits:
    """What a new sentence may look like."""

    fewest_words: int = 2
    most_words: int = 40
    overlap: float = 0.7  # Jaccard index of word pairs from which two sentences are near duplicates


class Sieve:
    """Lets each new sentence through once.

    ``key`` gives what two spellings of the same sentence have in common, ``unspeakable`` what is wrong with a
    sentence's characters, or None.
    """

    def __init__(
        self,
        seeds: Iterable[str],
        instructions: str,
        limits: Limits,
        key: Callable[[str], str],
        unspeakable: Callable[[str], str | None],
    ) -> None:
        self._limits, self._key, self._unspeakable = limits, key, unspeakable
        self._seeds: set[str] = set()
        self._kept: set[str] = set()
        self._known = Neighbours()
        for seed in seeds:
            words = key(seed)
            if words not in self._seeds:
                self._seeds.add(words)
                self._known.add(words)
        self._instructions = set(_runs(key(instructions).split(), COPIED))
        for seed in self._seeds:
            self._instructions -= set(_runs(seed.split(), COPIED))

    def refuse(self, line: str) -> Reason | None:
        """Why a line is not taken; None when it is, and then it is known from now on."""
        words = self._key(line)
        if not any(character.isalpha() for character in line) or _COMMENT.match(line):
            return "no sentence"
        if self._unspeakable(line) is not None:
            return "characters"
        if not self._limits.fewest_words <= len(words.split()) <= self._limits.most_words:
            return "length"
        if words in self._seeds:
            return "seed again"
        if words in self._kept:
            return "duplicate"
        if self._instructions.intersection(_runs(words.split(), COPIED)):
            return "prompt again"
        if self._known.nearest(words) >= self._limits.overlap:
            return "near duplicate"
        self._kept.add(words)
        self._known.add(words)
        return None


def _runs(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + length]) for start in range(len(words) - length + 1))
