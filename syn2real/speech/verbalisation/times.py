"""Times of day and durations written with colons, or with the language's mark for hours."""

import re

from syn2real.speech.verbalisation import numerals
from syn2real.speech.verbalisation.grammar import Grammar
from syn2real.speech.verbalisation.rule import INNER_STOP, Rule

_TIME = r"([01]?\d|2[0-4]):([0-5]\d)"
_MERIDIEM = re.compile(r"\s?[ap]\.?\s?m\b", re.IGNORECASE)


def rules(grammar: Grammar) -> list[Rule]:
    """Rules for times; none for a language without words for them."""
    if not grammar.clock:
        return []
    mark = rf"(?:\s?{grammar.hour_mark}\b{INNER_STOP})?" if grammar.hour_mark else ""
    made = [
        Rule(
            "time", re.compile(r"(?<![\d:.,])(\d{1,2}):([0-5]\d):([0-5]\d)(?![\d:])"), lambda m: _clock(m, grammar), ":"
        ),
        Rule(
            "range",
            re.compile(rf"(?<![\d:.,]){_TIME}\s?[-–—]\s?(?={_TIME}(?![\d:]))"),
            lambda m: _from(m, grammar),
            ":",
        ),
        Rule("time", re.compile(rf"(?<![\d:.,]){_TIME}(?![\d:]|[.,]\d){mark}"), lambda m: _time(m, grammar), ":"),
    ]
    if grammar.meridiem:
        pattern = re.compile(r"(?<![\d:.,])(0?[1-9]|1[0-2])\.([0-5]\d)(?=\s?[aApP]\.?[mM]\b)")
        made.append(Rule("time", pattern, lambda m: _time(m, grammar), "mM"))
    if grammar.hour_mark == "Uhr":  # written with a full stop too
        pattern = re.compile(r"(?<![\d:.,])([01]?\d|2[0-4])\.([0-5]\d)\s?Uhr\b")
        made.append(Rule("time", pattern, lambda m: _time(m, grammar), "U"))
    if grammar.hour_mark == "h":
        pattern = re.compile(r"(?<![\w.,:/])([01]?\d|2[0-4])\s?h(?:\s?([0-5]\d))?(?![\w/²³])")
        made.append(Rule("time", pattern, lambda m: _hours(m, grammar), "h"))
    return made


def _from(match: re.Match[str], grammar: Grammar) -> str:
    return f"{_time(match, grammar)} {grammar.to}"


def _time(match: re.Match[str], grammar: Grammar) -> str:
    hour, minute = _hour(int(match[1]), grammar), int(match[2])
    if minute:
        form = grammar.minute_zero if minute < 10 else "{minute}"
        words = numerals.cardinal(minute, grammar.numerals)
        said = grammar.time.format(hour=hour, minute=form.format(zero=grammar.zero, minute=words))
        return _singular(said, int(match[1]), grammar)
    if grammar.meridiem and _MERIDIEM.match(match.string, match.end()):
        return hour
    if grammar.meridiem and not 1 <= int(match[1]) <= 12:
        return f"{hour} hundred" if int(match[1]) else f"{hour} {numerals.cardinal(0, grammar.numerals)}"
    return _singular(grammar.full_hour.format(hour=hour), int(match[1]), grammar)


def _hours(match: re.Match[str], grammar: Grammar) -> str:
    if match[2]:
        said = grammar.time.format(
            hour=_hour(int(match[1]), grammar), minute=numerals.cardinal(int(match[2]), grammar.numerals)
        )
        return _singular(said, int(match[1]), grammar)
    return grammar.counted(numerals.cardinal(int(match[1]), grammar.numerals), int(match[1]), grammar.clock["hour"])


def _clock(match: re.Match[str], grammar: Grammar) -> str:
    said = []
    for name, written in zip(("hour", "minute", "second"), match.groups(), strict=True):
        number = int(written)
        if number or name != "hour":
            said.append(grammar.counted(numerals.cardinal(number, grammar.numerals), number, grammar.clock[name]))
    return " ".join(said)


def _hour(hour: int, grammar: Grammar) -> str:
    return grammar.agreeing(numerals.cardinal(hour, grammar.numerals), grammar.hour_gender)


def _singular(said: str, hour: int, grammar: Grammar) -> str:
    """ "une heures" is "une heure"."""
    noun = grammar.clock["hour"]
    one = hour == 1 or hour < grammar.singular > 1
    return said.replace(noun.many, noun.one, 1) if one else said
