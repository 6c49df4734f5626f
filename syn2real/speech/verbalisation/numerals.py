"""Numbers in words, by num2words, mended where it writes what nobody says; and numbers as a language writes them."""

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from syn2real.errors import NotInstalled
from syn2real.speech.verbalisation.grammar import Grammar

LONGEST = 15  # digits that are read as a number; longer ones are read one by one
SPACES = "\u00a0\u202f\u2009"  # between groups of digits, besides the plain space


def fold(text: str) -> str:
    """Digits of all scripts, superscripts and vulgar fractions included, as 0 to 9; other characters as they are.

    >>> fold("５ km, ٣ or 1½")
    '5 km, 3 or 1 1/2'
    """
    if text.isascii():
        return text
    return "".join(_folded(text, place) if not c.isascii() else c for place, c in enumerate(text))


def _folded(text: str, place: int) -> str:
    character = text[place]
    if character == "\u2212":  # the minus sign proper
        return "-" if text[place + 1 : place + 2].isdigit() else character
    if character in "²³" and place and text[place - 1] == "m":
        return character  # of m²
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(character) == "No":
        plain = unicodedata.normalize("NFKC", character).replace("\u2044", "/")
        if plain.isascii() and "/" in plain and not plain.endswith("/"):
            return f" {plain}" if text[place - 1 : place].isdigit() else plain
        if plain.isascii() and plain.isdigit():
            return plain
    return character


def number_pattern(grammar: Grammar) -> str:
    """A pattern of one number without sign: groups of three with the language's marks, or plain digits, and decimals.
    It begins and ends where no digit goes on."""
    marks = re.escape(grammar.thousands + SPACES)
    decimal = re.escape(grammar.decimal)
    # Millions are written with plain spaces where thousands are not: "1 000 000".
    whole = rf"(?:[1-9]\d{{0,2}}(?:(?:[{marks}]\d{{3}})+|(?: 000)+)|\d+)(?!\d)"
    return rf"(?<!\d)(?<!\d[.,]){whole}(?:{decimal}\d+(?!\d))?(?![.,]\d)"


def parts(number: str, grammar: Grammar) -> tuple[str, str]:
    """The digits before and after the decimal mark."""
    whole, _, decimals = number.partition(grammar.decimal)
    return re.sub(r"\D", "", whole), decimals


def value(number: str, grammar: Grammar) -> float:
    """What a written number is worth."""
    whole, decimals = parts(number, grammar)
    return float(f"{whole}.{decimals or 0}")


def spoken(number: str, grammar: Grammar) -> str:
    """A written number without sign in words; one that begins with 0 digit by digit."""
    whole, decimals = parts(number, grammar)
    if len(whole) > LONGEST or (len(whole) > 1 and whole[0] == "0"):
        words = digits(whole, grammar)
    else:
        words = cardinal(int(whole), grammar.numerals)
    if not decimals:
        return words
    if not grammar.point:
        return _decimal(whole, decimals, grammar.numerals) or f"{words} {digits(decimals, grammar)}"
    return f"{words} {grammar.point} {_decimals(decimals, grammar)}"


def year(number: int, grammar: Grammar) -> str:
    """A year in words; where the language reads years apart, as such."""
    if any(first <= number <= last for first, last in grammar.years):
        return _words(number, grammar.numerals, "year").replace("oh-", "oh ")
    return cardinal(number, grammar.numerals)


def digits(text: str, grammar: Grammar) -> str:
    """Each digit in words."""
    return " ".join(cardinal(int(digit), grammar.numerals) for digit in text if digit.isdigit())


def ordinal(number: int, grammar: Grammar) -> str:
    """The ordinal in words, in the masculine."""
    return _words(number, grammar.numerals, "ordinal")


def cardinal(number: int, numerals: str) -> str:
    """The number in words; where num2words fails on a large one, digit by digit."""
    try:
        return _words(number, numerals, "cardinal")
    except (OverflowError, TypeError, IndexError, KeyError, ValueError, NotImplementedError):
        if number < 10:
            raise
        return " ".join(_words(int(digit), numerals, "cardinal") for digit in str(number))


def _decimals(decimals: str, grammar: Grammar) -> str:
    if not grammar.decimals_as_number or len(decimals) > 3:
        return digits(decimals, grammar)
    leading = len(decimals) - len(decimals.lstrip("0"))
    rest = decimals.lstrip("0")
    words = [cardinal(0, grammar.numerals)] * leading + ([cardinal(int(rest), grammar.numerals)] if rest else [])
    return " ".join(words)


@lru_cache(maxsize=4096)
def _decimal(whole: str, decimals: str, numerals: str) -> str | None:
    try:
        words = _convert(Decimal(f"{int(whole)}.{decimals}"), numerals, "cardinal")
    except (OverflowError, TypeError, IndexError, KeyError, ValueError, NotImplementedError):
        return None
    return words if words and not any(c.isdigit() for c in words) else None


@lru_cache(maxsize=65536)
def _words(number: int, numerals: str, form: str) -> str:
    words = _convert(number, numerals, form)
    if not words or any(c.isdigit() for c in words):
        raise ValueError(f"num2words has no {form} for {number} in {numerals}")
    return words


def _convert(number: int | Decimal, numerals: str, form: str) -> str:
    try:
        from num2words import num2words
    except ImportError as error:
        raise NotInstalled("num2words", "speech") from error
    # Commas between groups are writing, not speech; Italian's "un milione e duecento…" is said without the "e".
    words = str(num2words(number, lang=numerals, to=form)).replace(",", "")
    return " ".join(words.split()).strip()
