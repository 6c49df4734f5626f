"""From written text to the words that are spoken."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from syn2real.speech.verbalisation import (
    abbreviations,
    addresses,
    dates,
    numbers,
    numerals,
    quantities,
    symbols,
    times,
)
from syn2real.speech.verbalisation.languages import grammar
from syn2real.speech.verbalisation.rule import Rule

VERSION = 3  # of the rules and tables together: raise it when what is said changes
ROUNDS = 4  # in which what a rule says may call for another rule
_SENTENCE = re.compile(r"(?:^|[.!?…]\s+)[\"'“«¿¡(\[]*$")
_DIGIT = re.compile(r"[0-9²³]")


@dataclass(frozen=True)
class Change:
    """One span of the text and what is said in its place."""

    kind: str  # time, date, money, …
    written: str
    said: str


@dataclass(frozen=True)
class Verbalised:
    """The words that are spoken, and what was changed to get them."""

    text: str
    changes: tuple[Change, ...] = ()


def verbalise(text: str, language: str) -> Verbalised:
    """``text`` as it is spoken: numbers, dates, amounts, signs and abbreviations in words.

    ``language`` is an ISO 639-1 code, or a locale such as ``en-GB`` where that decides the order of dates. In a
    language without a table only numbers are put in words, and in one that num2words lacks nothing is. What no rule
    concerns stays as it is, white space included; the text as it comes out is left alone when it is put in again.
    Raises `NotInstalled` for a text with digits where num2words is missing.

    >>> verbalise("Meet me at 5:30 pm.", "en").text
    'Meet me at five thirty pm.'
    """
    known = grammar(language)
    if known is None:
        return Verbalised(text)
    changes: list[Change] = []
    ended = text.rstrip("\"'”’»)] ")[-1:] in tuple(".!?…")
    for _ in range(ROUNDS):
        before = text
        text = numerals.fold(text)
        digits, present = _DIGIT.search(text) is not None, set(text)
        for rule, needs in _rules(language):
            if (rule.digits and not digits) or (needs and needs.isdisjoint(present)):
                continue
            text, found = _applied(rule, text, capitals=ended, spaced=known.spaced)
            if found:
                changes += found
                digits, present = _DIGIT.search(text) is not None, set(text)
        if text == before:
            break
    return Verbalised(text, tuple(changes))


@cache
def _rules(language: str) -> tuple[tuple[Rule, frozenset[str]], ...]:
    """The language's rules in the order in which they look, each with the characters it needs."""
    known = grammar(language)
    if known is None:
        return ()
    ordered = (
        *addresses.rules(known),
        *abbreviations.rules(known),
        *dates.rules(known),
        *numbers.telephone(known),
        *times.rules(known),
        *symbols.strokes(known),
        *symbols.before_numbers(known),
        *numbers.ranges(known),
        *quantities.rules(known),
        *numbers.rest(known),
        *symbols.rules(known),
    )
    return tuple((rule, frozenset(rule.needs)) for rule in ordered)


def _applied(rule: Rule, text: str, *, capitals: bool, spaced: bool) -> tuple[str, list[Change]]:
    """The text after one rule; words that it brings in are set off by spaces."""
    pieces: list[str] = []
    found: list[Change] = []
    for piece, change in _pieces(rule, text):
        if change is not None:
            found.append(change)
            if capitals and _SENTENCE.search("".join(pieces)):
                piece = piece[:1].upper() + piece[1:]
        if spaced and pieces and piece and _sounds(pieces[-1][-1]) and _sounds(piece[0]):
            pieces.append(" ")
        if piece:
            pieces.append(piece)
    return ("".join(pieces), found) if found else (text, [])


def _pieces(rule: Rule, text: str) -> Iterator[tuple[str, Change | None]]:
    last = 0
    for match in rule.pattern.finditer(text):
        said = rule.say(match)
        if said is None:
            continue
        said = said.strip()
        yield text[last : match.start()], None
        yield said, Change(rule.kind, match[0], said)
        last = match.end()
    yield text[last:], None


def _sounds(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"
