"""How long a text takes to say: its length in letters, whatever the script, and the pace of a clip."""

import re
import unicodedata

# What one character of a script that writes more than a sound with it counts for, in letters of an alphabet: about as
# many as its usual romanisation has.
_SCRIPTS = {"CJK": 3.0, "HIRAGANA": 2.0, "KATAKANA": 2.0, "HANGUL": 2.5}
_WORD = 8.0  # letters that a digit or a symbol can take when it is read out: "7" seven, "%" percent, "$" dollars
_SPELT = 3.0  # letters that one of an abbreviation can take: "F" eff, "W" double u
_ABBREVIATION = re.compile(r"\b[^\W\d_]{2,5}\b")


def fewest_letters(text: str) -> float:
    """Letters that are surely spoken. Digits count as one, symbols and marks as none.

    >>> fewest_letters("Room 12, 5 %")
    7.0
    """
    return float(sum(_weight(c) for c in text if unicodedata.category(c)[0] in "LN"))


def most_letters(text: str) -> float:
    """Letters that may be spoken: digits and symbols as words, abbreviations letter by letter.

    >>> most_letters("Room 12, 5 %")
    36.0
    """
    total = fewest_letters(text)
    for character in text:
        kind = unicodedata.category(character)[0]
        if kind == "N":
            total += _WORD - 1
        elif kind == "S" or character in "%&@#*/":
            total += _WORD
    if not text.isupper():  # else capitals say nothing
        total += sum((_SPELT - 1) * len(word) for word in _ABBREVIATION.findall(text) if word.isupper())
    return total


def seconds_per_letter(text: str, seconds: float, rate: float = 1.0) -> float | None:
    """Seconds of speech per letter surely spoken, as if spoken at rate 1; None for a text without letters."""
    letters = fewest_letters(text)
    return seconds * rate / letters if letters else None


def _weight(character: str) -> float:
    if character < "\u1100":  # no script of the table lies below
        return 1.0
    name = unicodedata.name(character, "")
    return next((weight for script, weight in _SCRIPTS.items() if name.startswith(script)), 1.0)
