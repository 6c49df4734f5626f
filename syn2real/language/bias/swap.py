"""The twin of a sentence: the same with every gendered word replaced by its partner, in its case.

The rules: words of both genders in one sentence are all exchanged. A sentence without a gendered word has no twin; nor
has one with a gendered word that has no partner (*Mrs*), for half a swap is none. What stands before an apostrophe is a
word (*the queen's*, *she's*), what is part of a fixed compound is none (*man-made*).
"""

import re
from dataclasses import dataclass
from functools import cache

from syn2real.language.bias.pairs import RULED, Gender, Pairs, own_pairs
from syn2real.language.bias.pronouns import determines

UNPAIRED = ("mrs", "mum", "mums", "mummy", "hostess", "hostesses", "bro", "bros")
FIXED = (
    "man-made", "woman-made", "man-hour", "man-hours", "woman-hour", "woman-hours", "king-size", "king-sized",
    "queen-size", "queen-sized", "s/he", "s)he", "bachelor's degree", "bachelor's degrees",
)  # fmt: skip
_MINOR = ("of", "in", "and", "the", "for")  # small in titles


@dataclass(frozen=True)
class Twin:
    """A sentence's twin."""

    text: str
    words: int  # replaced
    genders: frozenset[Gender]  # of the sentence
    exact: bool  # the twin's twin is the sentence: where not, the grammar of one of the two is in doubt


def twin(sentence: str, pairs: Pairs | None = None) -> Twin | None:
    """The twin of ``sentence``; None where it has none, see the rules above.

    >>> twin("His wife told HER brother's friends about him.").text
    "Her husband told HIS sister's friends about her."
    """
    pairs = own_pairs() if pairs is None else pairs
    found = _swap(sentence, pairs)
    if found is None:
        return None
    text, genders, words = found
    back = _swap(text, pairs)
    return Twin(text, words, genders, exact=back is not None and back[0] == sentence)


def genders_of(sentence: str, pairs: Pairs | None = None) -> frozenset[Gender]:
    """The genders of a sentence's words: none, one or both."""
    pairs = own_pairs() if pairs is None else pairs
    named = (pairs.genders.get(_plain(match.group())) for match in _pattern(pairs).finditer(sentence))
    return frozenset(gender for gender in named if gender is not None)


def unpaired(sentence: str, pairs: Pairs | None = None) -> bool:
    """Whether a gendered word of a sentence has no partner, so that the sentence is of a gender and has no twin.

    >>> unpaired("Mrs Jones sings."), unpaired("Her aunt sings.")
    (True, False)
    """
    pairs = own_pairs() if pairs is None else pairs
    return any(_lone(_plain(match.group()), pairs) for match in _pattern(pairs).finditer(sentence))


def _swap(sentence: str, pairs: Pairs) -> tuple[str, frozenset[Gender], int] | None:
    genders: set[Gender] = set()
    out: list[str] = []
    words = last = 0
    for match in _pattern(pairs).finditer(sentence):
        word = _plain(match.group())
        if word in FIXED:
            continue
        if _lone(word, pairs):
            return None
        genders.add(pairs.genders[word])
        start, end = match.span()
        partner = _ruled(word, sentence, start, end) if word in RULED else pairs.partners[word]
        out += [sentence[last:start], _cased(partner, match.group())]
        last, words = end, words + 1
        if word.endswith("s") and not partner.endswith("s") and _bare_apostrophe(sentence, end):
            out.append(f"{sentence[end]}s")  # the actress' role, the actor's role
            last = end + 1
    return ("".join([*out, sentence[last:]]), frozenset(genders), words) if words else None


def _lone(word: str, pairs: Pairs) -> bool:
    return word in UNPAIRED and word not in pairs.partners


def _ruled(word: str, sentence: str, start: int, end: int) -> str:
    if word == "him":
        return "her"
    if word == "hers":
        return "his"
    noun = determines(sentence, start, end)
    return {("her", True): "his", ("her", False): "him", ("his", True): "her", ("his", False): "hers"}[word, noun]


def _bare_apostrophe(sentence: str, place: int) -> bool:
    return sentence[place : place + 1] in ("'", "’") and sentence[place + 1 : place + 2] == " "


@cache
def _pattern(pairs: Pairs) -> re.Pattern[str]:
    """All words of the list, longer ones first."""
    words = sorted({*pairs.partners, *RULED, *UNPAIRED, *FIXED}, key=lambda word: (-len(word), word))
    joined = "|".join(re.escape(word).replace("'", "['’]") for word in words)
    return re.compile(rf"(?<![^\W_])(?:{joined})(?![^\W_])", re.IGNORECASE)


def _plain(word: str) -> str:
    return word.lower().replace("’", "'")


def _cased(word: str, like: str) -> str:
    """``word`` in the first of `_STYLES` that ``like`` is in; in small letters where it is in none."""
    style = next((style for style in _STYLES if style(like) == like), str.lower)
    return style(word)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:].lower()


def _title(text: str) -> str:
    """*Maid of Honor*"""
    return " ".join(_each(text.split(" ")))


def _hyphened_title(text: str) -> str:
    """*Father-in-Law*"""
    return " ".join("-".join(_each(word.split("-"))) for word in _each(text.split(" ")))


def _each(words: list[str]) -> list[str]:
    return [word.lower() if place and word.lower() in _MINOR else _capital(word) for place, word in enumerate(words)]


_STYLES = (str.lower, str.upper, _capital, _title, _hyphened_title)
