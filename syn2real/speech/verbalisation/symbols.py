"""Signs that have a name."""

import re

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
