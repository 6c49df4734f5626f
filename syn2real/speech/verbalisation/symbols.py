"""Signs that have a name."""

import re

from syn2real.speech.verbalisation import numerals
from syn2real.speech.verbalisation.grammar import Grammar
from syn2real.speech.verbalisation.rule import Rule, one_of


def rules(grammar: Grammar) -> list[Rule]:
    """Rules for signs; those read otherwise before a number come before the numbers."""
    return [
        Rule(
            "symbol",
            re.compile(one_of(grammar.symbols)),
            lambda match: f" {grammar.symbols[match[0]]} ",
            "".join(grammar.symbols),
            digits=False,
        )
    ]


def strokes(grammar: Grammar) -> list[Rule]:
    """Strokes that stand for a word: "per" after an amount or before a unit, "or" between two whole words."""
    made = []
    names = {name: noun.one for name, noun in grammar.units.items() if name.isalpha()}
    if grammar.per:
        full = {noun.one for noun in (*grammar.units.values(), *grammar.clock.values())}
        money, number = one_of(grammar.currencies), numerals.number_pattern(grammar)
        amount = rf"(?<![\w.,])(?:{money}\s?{number}|{number}\s?(?:{money}|(?P<unit>{one_of(names)})))"
        per = re.compile(rf"(?P<amount>{amount})\s?/\s?(?P<of>[^\W\d_]+)(?![\w²³/])")

        def each(match: re.Match[str]) -> str | None:
            if f"{match['unit']}/{match['of']}" in grammar.units:
                return None
            return f"{match['amount']} {grammar.per} {names.get(match['of'], match['of'])}"

        made.append(Rule("symbol", per, each, "/"))
        unit = re.compile(rf"(?<=[^\W\d_])/(?={one_of(full)}(?![\w/]))")
        made.append(Rule("symbol", unit, lambda m: f" {grammar.per} ", "/", digits=False))
    if grammar.either:
        word = r"[^\W\d_]{2,}"
        pair = re.compile(rf"(?<![\w/.@-])({word})/({word})(?![\w/@-]|\.\w)")

        def choice(match: re.Match[str]) -> str | None:
            a, b = match[1], match[2]
            # "TCP/IP", "km/h", and endings: "Lehrer/innen", "niños/as".
            if (a.isupper() and b.isupper()) or a in names or b.lower() in grammar.endings:
                return None
            return f"{a} {b}" if b.lower() == grammar.either else f"{a} {grammar.either} {b}"

        made.append(Rule("symbol", pair, choice, "/", digits=False))
    return made


def before_numbers(grammar: Grammar) -> list[Rule]:
    """Signs that are read otherwise before a number."""
    if not grammar.before_digit:
        return []
    pattern = re.compile(rf"(?<!\w){one_of(grammar.before_digit)}\s?(?=\d)")
    return [
        Rule(
            "symbol", pattern, lambda match: f"{grammar.before_digit[match[0].strip()]} ", "".join(grammar.before_digit)
        )
    ]
