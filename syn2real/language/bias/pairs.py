"""Words of two genders, in pairs: our own list, or one's own as two columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from syn2real.errors import UserError, at
from syn2real.hashing import sha256_json
from syn2real.lines import read_lines

Gender = Literal["male", "female"]

# Which of two partners each has depends on the sentence (see `syn2real.language.bias.pronouns`), so no list has them.
RULED: Mapping[str, Gender] = {"him": "male", "his": "male", "her": "female", "hers": "female"}


@dataclass(frozen=True)
class Pairs:
    """Pairs of a male and a female word, in small letters. Each word is in one pair only, so that swapping is its own
    inverse."""

    pairs: tuple[tuple[str, str], ...]

    @cached_property
    def partners(self) -> dict[str, str]:
        """Of each word its partner, in both directions."""
        return {word: other for male, female in self.pairs for word, other in ((male, female), (female, male))}

    @cached_property
    def genders(self) -> dict[str, Gender]:
        """Of each word its gender, those included that the swap decides by rule."""
        males: dict[str, Gender] = dict.fromkeys((male for male, _ in self.pairs), "male")
        females: dict[str, Gender] = dict.fromkeys((female for _, female in self.pairs), "female")
        return {**males, **females, **RULED}

    @cached_property
    def key(self) -> str:
        """Equal for equal lists."""
        return sha256_json(sorted(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)

    def __hash__(self) -> int:
        return hash(self.key)


@cache
def own_pairs(*, names: bool = False) -> Pairs:
    """The project's own list; ``names`` adds given names, whose pairing is a convention and no more."""
    lists = ["words.tsv", *(["names.tsv"] if names else [])]
    found: list[tuple[str, str]] = []
    for name in lists:
        with as_file(files("syn2real.language.bias") / name) as path:
            found += read_pairs(path).pairs
    return Pairs(tuple(found))


def read_pairs(path: Path) -> Pairs:
    """The pairs of a file: male, tab, female, one pair a line; blank lines and those that begin with # say nothing.

    Raises `UserError` with file and line for a line that has no two words, a word that stands there twice or beside
    itself, and him, his, her and hers, which the swap decides by rule.
    """
    first: dict[str, int] = {}
    found = []
    for line, words in _rows(path):
        if len(words) != 2 or not all(words):
            raise UserError(at(path, line, "one side only; a pair is the male word, a tab, and the female word"))
        male, female = words
        if male == female:
            raise UserError(at(path, line, f"{male!r} is paired with itself; leave out words of both genders"))
        for word in words:
            if word in RULED:
                raise UserError(at(path, line, f"{word!r} is swapped by rule; remove the line"))
            if not word.replace("-", "").replace("'", "").replace(" ", "").isalpha() or "  " in word:
                raise UserError(at(path, line, f"{word!r} is no word; letters, hyphens and single spaces make one"))
            if word in first:
                raise UserError(at(path, line, f"{word!r} stands in line {first[word]} already; keep one pair of it"))
            first[word] = line
        found.append((male, female))
    if not found:
        raise UserError(f"{path}: holds no pairs")
    return Pairs(tuple(found))


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    for line, text in read_lines(path):
        if not text.lstrip().startswith("#"):
            yield line, tuple(part.strip().lower().replace("’", "'") for part in text.split("\t"))
