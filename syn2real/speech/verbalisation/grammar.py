"""What a language's table says: how its numbers are written, and the words that digits and symbols stand for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Gender = Literal["m", "f", "n"]  # neuter as in Romanian: one is masculine, two are feminine
Endings = tuple[tuple[str, str], ...]  # (pattern, replacement), the first that fits is applied


@dataclass(frozen=True)
class Noun:
    """What is counted: ``Noun("euro", "euros")``."""

    one: str
    many: str
    gender: Gender = "m"


@dataclass(frozen=True)
class Grammar:
    """The table of one language. Words are in lower case, except where the language itself writes capitals."""

    language: str  # ISO 639-1
    numerals: str  # the language as num2words calls it
    decimal: str  # the mark before decimals, "." or ","
    point: str  # and how it is said
    zero: str
    minus: str
    to: str  # between the ends of a range
    both: str  # between whole and fraction, as in "two and a half"
    # Decimals are read digit by digit, or, up to three of them, as a number: "trois virgule quatorze".
    decimals_as_number: bool = False
    ratio: str = ""  # at the colon of "3:2", where it is not `to`
    spaced: bool = True  # words are parted by spaces
    thousands: str = ".\u00a0\u202f "  # marks between groups of three digits
    day_first: bool = True  # 3/4/2026 is in April
    years: tuple[tuple[int, int], ...] = ()  # first and last of the years that are not read as plain numbers

    # How a number ends before a noun: "veintiuno" is "veintiún euros" and "veintiuna libras".
    agreement: Mapping[Gender, Endings] = field(default_factory=dict)
    ordinal_feminine: Endings = ()
    made_of_numbers: str = ""  # an ending that makes a noun of digits: "die 80er"
    # (pattern of the word before, ending in place of the last letter), for ordinals that are declined, which are
    # written as digits with a full stop: "am 3. Mai". The last one is for all other words, in dates alone.
    ordinal_endings: Endings = ()
    feminine: str | None = None  # pattern of nouns that are likely feminine: "21 personas" is "veintiuna personas"
    noun: str | None = None  # pattern of words that may be nouns; without one a number agrees with known nouns alone
    link: tuple[str, str] | None = None  # (pattern, joiner): "un millón" + "de " + "euros"
    link_from: int | None = None  # Romanian says "de" from 20 on: "douăzeci de euro"
    elides: bool = False  # "de euros" is "d'euros"
    singular: float = 1.0  # the largest number that counts as one: 1.99 in French, where 0 does too

    months: tuple[str, ...] = ()
    month_short: Mapping[str, int] = field(default_factory=dict)  # "jan" → 1, written with or without a full stop
    date: str = "{day} {month} {year}"  # of a date written in digits alone
    day: Literal["cardinal", "ordinal"] = "cardinal"
    first_day: str | None = None  # the first of a month, where only that is an ordinal
    of: str = ""  # between day and month in words, as in "21 de noviembre"
    month_then_day: bool = False  # "November 21" is written too

    time: str = "{hour} {minute}"
    full_hour: str = "{hour}"
    hour_gender: Gender = "f"
    minute_zero: str = "{zero} {minute}"  # minutes 1 to 9
    hour_mark: str | None = None  # what follows a time and is said anyway: "h", "Uhr"
    meridiem: bool = False  # "am" and "pm" may follow
    clock: Mapping[str, Noun] = field(default_factory=dict)  # hour, minute, second of h:mm:ss

    pairs: bool = False  # telephone numbers are read in pairs
    ordinal_marks: str = ""  # pattern of what makes digits an ordinal, its group "f" for the feminine
    fractions: Mapping[int, Noun] = field(default_factory=dict)  # denominators
    over: str = ""  # between the halves of any other fraction

    currencies: Mapping[str, tuple[Noun, Noun | None]] = field(default_factory=dict)  # sign or code → major, minor
    cents: str = "{major} {minor}"
    cents_named: bool = True  # "and twenty cents", not only "twenty"
    scales: Mapping[str, tuple[int, Noun | None]] = field(default_factory=dict)  # "m" → 6, million
    percent: str = ""
    units: Mapping[str, Noun] = field(default_factory=dict)
    symbols: Mapping[str, str] = field(default_factory=dict)
    either: str = ""  # for the stroke between two words: "he/she"
    endings: tuple[str, ...] = ()  # of another gender, written after a stroke: "Lehrer/innen"
    per: str = ""  # for that before a unit or after an amount: "€2/kg"; none where it would be declined
    before_digit: Mapping[str, str] = field(default_factory=dict)  # symbols read otherwise before a number: "#1"
    exact: Mapping[str, str] = field(default_factory=dict)  # set phrases: "24/7"
    at: str = ""
    dot: str = ""
    domains: tuple[str, ...] = ()  # of addresses written without http or www
    abbreviations: Mapping[str, str] = field(default_factory=dict)  # without their last full stop
    # Abbreviations that stand for something else before a capital: "St." in "St. John" and "High St."
    before_name: Mapping[str, str] = field(default_factory=dict)
    after_name: Mapping[str, str] = field(default_factory=dict)  # and after one: "Oak Dr."
    before_number: Mapping[str, str] = field(default_factory=dict)  # "No. 5"
    roman_cardinal: tuple[str, ...] = ()  # words after which Roman numerals are numbers: "chapter"
    roman_ordinal: tuple[str, ...] = ()  # names after which they are ordinals: "Henry"
    roman_template: str = "{}"
    roman_marks: str | None = None  # pattern of what makes a Roman numeral an ordinal: "XXe"
    roman_ordinal_most: int = 99  # larger ones are plain numbers: "Alfonso trece"

    def agreeing(self, words: str, gender: Gender) -> str:
        """A number in words as it stands before a noun of that gender."""
        return replace_ending(words, self.agreement.get(gender, ()))

    def counted(self, words: str, value: float, noun: Noun, *, whole: bool = True) -> str:
        """A number and its noun: ``counted("two", 2, euro)`` is "two euros"."""
        if whole:
            gender = noun.gender if noun.gender != "n" else "m" if value == 1 else "f"
            words = self.agreeing(words, gender)
        name = noun.one if abs(value) == 1 or abs(value) <= self.singular > 1 else noun.many
        if whole and self.link and re.search(self.link[0], words):
            joiner = self.link[1]
            if self.elides and name[:1].lower() in "aeéiouh":
                joiner = joiner.replace("e ", "'")
            return f"{words} {joiner}{name}"
        if whole and self.link_from and value >= self.link_from and not 0 < value % 100 < self.link_from:
            return f"{words} de {name}"
        return f"{words} {name}"


def replace_ending(words: str, endings: Endings) -> str:
    """``words`` after the first of the endings that fits."""
    for pattern, replacement in endings:
        changed, count = re.subn(pattern, replacement, words)
        if count:
            return changed
    return words
