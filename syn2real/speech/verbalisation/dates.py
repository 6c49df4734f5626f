"""Dates: in digits, in the order of the language, and with the month in words."""

import re

from syn2real.speech.verbalisation import numerals
from syn2real.speech.verbalisation.grammar import Grammar
from syn2real.speech.verbalisation.rule import Rule, one_of

CENTURY = 70  # years of two digits from here on are of the last century


def rules(grammar: Grammar) -> list[Rule]:
    """Rules for dates; none for a language whose months are not known."""
    if not grammar.months:
        return []
    made = [
        Rule("date", re.compile(r"(?<![\d-])(\d{4})-(\d{1,2})-(\d{1,2})(?![\d-])"), lambda m: _iso(m, grammar), "-"),
        Rule(
            "date",
            re.compile(r"(?<![\d./-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?![\d/-]|\.\d)"),
            lambda m: _local(m, grammar),
            "/.-",
        ),
        _in_words(grammar),
    ]
    if len(grammar.ordinal_endings) > 1:  # a language whose ordinals are digits with a full stop
        made.append(_without_year(grammar))
    if grammar.month_then_day:  # as English has it, whose decades have plurals
        made.append(_month_first(grammar))
        made.append(
            Rule("decade", re.compile(r"(?<![\w.,])['’]?(\d{4}|\d0)['’]?s\b"), lambda m: _decade(m, grammar), "s")
        )
    return made


def _iso(match: re.Match[str], grammar: Grammar) -> str | None:
    return _date(int(match[3]), int(match[2]), int(match[1]), match, grammar)


def _local(match: re.Match[str], grammar: Grammar) -> str | None:
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    if len(match[4]) == 2:
        if match[2] != "/":
            return None  # as likely a version or a part of a telephone number
        year += 1900 if year >= CENTURY else 2000
    day, month = (first, second) if grammar.day_first else (second, first)
    if month > 12 >= day:
        day, month = month, day
    return _date(day, month, year, match, grammar)


def _without_year(grammar: Grammar) -> Rule:
    """As in "am 24.12. um acht": where an article or preposition leads to it or a small letter goes on, for it might be
    a version at the end of a sentence."""
    pattern = re.compile(r"(?<![\d./,-])(\d{1,2})\.(\d{1,2})\.(?![\d-])")
    leads = "|".join(f"(?:{lead})" for lead, _ in grammar.ordinal_endings[:-1])

    def say(match: re.Match[str]) -> str | None:
        day, month = int(match[1]), int(match[2])
        before, after = match.string[: match.start()], match.string[match.end() :]
        led = re.search(leads, before.rstrip(), re.IGNORECASE) or re.match(r",?\s+[^\W\d_A-ZÄÖÜ]", after)
        if not (led and 1 <= day <= 31 and 1 <= month <= 12):
            return None
        return f"{_day(day, match, grammar)} {grammar.months[month - 1]}{'' if after.strip() else '.'}"

    return Rule("date", pattern, say, ".")


def _date(day: int, month: int, year: int, match: re.Match[str], grammar: Grammar) -> str | None:
    if not (1 <= day <= 31 and 1 <= month <= 12 and year):
        return None
    return grammar.date.format(
        day=_day(day, match, grammar),
        month=grammar.months[month - 1],
        year=numerals.year(year, grammar),
    )


def _day(day: int, match: re.Match[str], grammar: Grammar) -> str:
    if grammar.day == "ordinal":
        return declined(numerals.ordinal(day, grammar), match.string[: match.start()], grammar)
    if day == 1 and grammar.first_day:
        return grammar.first_day
    return numerals.cardinal(day, grammar.numerals)


def declined(ordinal: str, before: str, grammar: Grammar) -> str:
    """An ordinal with the ending that the words before it ask for."""
    for pattern, ending in grammar.ordinal_endings:
        if re.search(pattern, before.rstrip(), re.IGNORECASE):
            return ordinal[:-1] + ending
    return ordinal


def _month_names(grammar: Grammar) -> dict[str, int]:
    return {name: place for place, name in enumerate(grammar.months, start=1)} | dict(grammar.month_short)


def _month_pattern(grammar: Grammar) -> str:
    """Months as the language writes them, or in small letters where that is no other word. One that is cut short has a
    full stop, or, in English, where hardly any is a word of its own, may have none."""
    full, short = list(grammar.months), list(grammar.month_short)
    full += [name.lower() for name in full if name != "May"] + [name.upper() for name in full]
    short += [name.capitalize() for name in short] + [name.upper() for name in short]
    stop = r"\.?" if grammar.month_then_day else r"\."
    return rf"(?:{one_of(full)}|{one_of(short)}{stop})"


def _named(written: str, grammar: Grammar) -> str:
    """The month in full, in the writer's case where it is in full already."""
    name = written.rstrip(".")
    short = grammar.month_short.get(name.lower())
    return grammar.months[short - 1] if short else name


def _in_words(grammar: Grammar) -> Rule:
    of = rf"(?:{re.escape(grammar.of)}\s+)?" if grammar.of else ""
    mark = rf"(?:{grammar.ordinal_marks}|\.)?" if grammar.ordinal_marks else r"\.?"
    pattern = re.compile(rf"(?<![\w.,/:-])(\d{{1,2}}){mark}(?P<gap>\s+{of})(?P<month>{_month_pattern(grammar)})(?!\w)")

    def say(match: re.Match[str]) -> str | None:
        if not 1 <= int(match[1]) <= 31:
            return None
        said = f"{_day(int(match[1]), match, grammar)}{match['gap']}{_named(match['month'], grammar)}"
        return " ".join(said.split())

    return Rule("date", pattern, say)


def _month_first(grammar: Grammar) -> Rule:
    pattern = re.compile(
        rf"(?<!\w)(?P<month>{_month_pattern(grammar)})\s+(\d{{1,2}})(?:{grammar.ordinal_marks})?(?![\w:%/]|[.,]\d|\s?[ap]\.?m\b)"
    )

    def say(match: re.Match[str]) -> str | None:
        if not 1 <= int(match[2]) <= 31:
            return None
        return f"{_named(match['month'], grammar)} {_day(int(match[2]), match, grammar)}"

    return Rule("date", pattern, say)


def _decade(match: re.Match[str], grammar: Grammar) -> str | None:
    number = int(match[1])
    if number % 10 or number == 0:
        return None
    if len(match[1]) == 2 or number % 1000 == 0:
        words = numerals.cardinal(number, grammar.numerals)
    else:
        words = numerals.year(number, grammar)
    return words[:-1] + "ies" if words.endswith("y") else words + "s"
