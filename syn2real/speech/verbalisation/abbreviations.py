"""Abbreviations and set phrases; Roman numerals where a word before them says that they are numbers."""

import re

from syn2real.speech.verbalisation import numerals
from syn2real.speech.verbalisation.grammar import Grammar, replace_ending
from syn2real.speech.verbalisation.rule import Rule, one_of

_ROMAN = re.compile(r"(X{0,3}|XL)(IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}


def rules(grammar: Grammar) -> list[Rule]:
    """Rules that need no digit in the text, except for set phrases."""
    made = []
    if grammar.exact:
        phrases = re.compile(rf"(?<![\w/]){one_of(grammar.exact)}(?![\w/])")
        made.append(Rule("phrase", phrases, lambda match: grammar.exact[match[0]], digits=False))
    known = {*grammar.abbreviations, *grammar.before_name, *grammar.after_name, *grammar.before_number}
    if known:
        pattern = re.compile(rf"(?<![\w.])({one_of(known)})(?:\.(?!\w)|(?<=[°º])(?!\w))", re.IGNORECASE)
        made.append(Rule("abbreviation", pattern, lambda match: _full(match, grammar), ".º°", digits=False))
    return made + _roman(grammar)


def _full(match: re.Match[str], grammar: Grammar) -> str | None:
    key, before, after = match[1].lower(), match.string[: match.start()], match.string[match.end() :]
    following = after.lstrip()[:1]
    if re.search(r"\d\s?$", before) and (match[1] in grammar.units or match[1] in grammar.scales):
        return None
    if following.isdigit() and key in grammar.before_number:
        word: str | None = grammar.before_number[key]
    elif following.isupper() and key in grammar.before_name:
        word = grammar.before_name[key]
    elif key in grammar.after_name and re.search(r"\b[^\W\d_a-z]\w*\s$", before):
        word = grammar.after_name[key]
    else:
        word = grammar.abbreviations.get(key)
    if word is None:
        return None
    if match[1][0].isupper():
        word = word[0].upper() + word[1:]
    # The full stop that ends the sentence too stays.
    return word if after.strip("\"'”’»)]} ") else f"{word}."


def _roman(grammar: Grammar) -> list[Rule]:
    made = []
    if grammar.roman_cardinal:
        words = "|".join(rf"{word[0].upper()}{word[1:]}|{word}" for word in grammar.roman_cardinal)
        pattern = re.compile(rf"\b({words})(\s+)([IVXL]+)\b(?![.'’]\w)")

        def count(match: re.Match[str]) -> str | None:
            number = roman(match[3])
            # A single letter may be a word or a name: "the part I like".
            if number is None or (len(match[3]) == 1 and not match[1][0].isupper()):
                return None
            return f"{match[1]}{match[2]}{numerals.cardinal(number, grammar.numerals)}"

        made.append(Rule("roman", pattern, count, "IVX", digits=False))
    if grammar.roman_ordinal:
        pattern = re.compile(rf"\b({one_of(grammar.roman_ordinal)})(\s+)([IVX]{{2,}}|V|X)\b(?![.'’]\w)")

        def rank(match: re.Match[str]) -> str | None:
            number = roman(match[3])
            if number is None:
                return None
            if number > grammar.roman_ordinal_most:
                said = numerals.cardinal(number, grammar.numerals)
            else:
                said = numerals.ordinal(number, grammar)
                if match[1].endswith("a") or match[1] == "Isabel":
                    said = replace_ending(said, grammar.ordinal_feminine)
            return f"{match[1]}{match[2]}{grammar.roman_template.format(said)}"

        made.append(Rule("roman", pattern, rank, "VXI", digits=False))
    if grammar.roman_marks:
        pattern = re.compile(rf"\b([IVX]{{2,}}|V|X){grammar.roman_marks}")

        def place(match: re.Match[str]) -> str | None:
            number = roman(match[1])
            return None if number is None else numerals.ordinal(number, grammar)

        made.append(Rule("roman", pattern, place, "IVX", digits=False))
    return made


def roman(text: str) -> int | None:
    """What a Roman numeral below 50 is worth, or None for what is none.

    >>> roman("XIV"), roman("IIX")
    (14, None)
    """
    if not text or not _ROMAN.fullmatch(text):
        return None
    values = [_VALUES[letter] for letter in text]
    return sum(-v if v < max(values[i:]) else v for i, v in enumerate(values))
