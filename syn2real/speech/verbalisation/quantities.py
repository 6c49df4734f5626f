"""Amounts of money, percentages, measures, fractions and ordinals."""

import re

from syn2real.speech.verbalisation import numerals
from syn2real.speech.verbalisation.dates import declined
from syn2real.speech.verbalisation.grammar import Grammar, Noun, replace_ending
from syn2real.speech.verbalisation.rule import INNER_STOP, Rule, one_of


def rules(grammar: Grammar) -> list[Rule]:
    """Rules for what is counted or measured; none for a language of which only numbers are known."""
    made: list[Rule] = []
    number = numerals.number_pattern(grammar)
    if grammar.currencies:
        made += _money(grammar, number)
    if grammar.units:
        made += _measures(grammar, number)
    if grammar.fractions:
        pattern = re.compile(r"(?:(?<![\w/.,])(\d+)\s+)?(?<![\w/.,])(\d{1,3})/(\d{1,3})(?![\w/]|[.,]\d)")
        made.append(Rule("fraction", pattern, lambda m: _fraction(m, grammar), "/"))
    if grammar.ordinal_marks:
        pattern = re.compile(rf"(?<![\w.,/-])(\d{{1,6}}){grammar.ordinal_marks}")
        made.append(Rule("ordinal", pattern, lambda m: _ordinal(m, grammar)))
    if grammar.ordinal_endings:
        words = "|".join(pattern for pattern, _ in grammar.ordinal_endings[:-1]).replace("$", "")
        pattern = re.compile(rf"(?i:(?:{words}))(\s)(\d{{1,4}})\.(?=\s\w)")
        made.append(Rule("ordinal", pattern, lambda m: _declined(m, grammar), "."))
    return made


def _money(grammar: Grammar, number: str) -> list[Rule]:
    signs = one_of(grammar.currencies)
    attached = one_of(name for name, (_, noun) in grammar.scales.items() if noun is not None)
    apart = one_of(name for name in grammar.scales if len(name.rstrip(".")) > 1)
    scale = rf"(?:(?P<close>{attached})(?!\w)|\s?(?P<apart>{apart})(?!\w))?"
    before = re.compile(rf"(?P<minus>-)?(?<!\w)(?P<sign>{signs})\s?(?P<number>{number}){scale}(?!\w)")
    after = re.compile(
        rf"(?=[-\d])(?P<minus>(?<![\w.,)-])-)?(?<![\w.,])(?P<number>{number})(?:\s?(?P<apart>{one_of(grammar.scales)})\.?)?"
        rf"(?:\s?d[ei]\s|\s?)(?P<sign>{signs})(?!\w)"
    )
    spread = re.compile(rf"(?P<sign>[$€£¥])\s?(?P<number>{number})\s?[-–—]\s?(?P<again>[$€£¥]?)(?=\d)")

    def say(match: re.Match[str]) -> str:
        found = match.groupdict()
        words = _amount(found["number"], found["sign"], found.get("close") or found.get("apart"), grammar)
        return f"{grammar.minus} {words}" if found.get("minus") else words

    def begin(match: re.Match[str]) -> str:
        if match["again"]:
            words = _amount(match["number"], match["sign"], None, grammar)
        else:
            words = numerals.spoken(match["number"], grammar)
        return f"{words} {grammar.to} {match['again'] or match['sign']}"

    large = {name: noun for name, (_, noun) in grammar.scales.items() if noun and len(name.rstrip(".")) > 1}
    alone = re.compile(rf"(?<![\w.,])(?P<number>{number})\s?(?P<scale>{one_of(large)})(?!\w)\.?")

    def scaled(match: re.Match[str]) -> str:
        words, whole = numerals.spoken(match["number"], grammar), not numerals.parts(match["number"], grammar)[1]
        return grammar.counted(words, numerals.value(match["number"], grammar), large[match["scale"]], whole=whole)

    first = "".join({sign[0] for sign in grammar.currencies})
    return [
        Rule("range", spread, begin, "-–—"),
        Rule("money", before, say, first),
        Rule("money", after, say, first),
        Rule("number", alone, scaled, "".join({name[0] for name in large})),
    ]


def _amount(number: str, sign: str, scale: str | None, grammar: Grammar) -> str:
    major, minor = grammar.currencies[sign]
    worth = numerals.value(number, grammar)
    whole, decimals = numerals.parts(number, grammar)
    if scale:
        power, noun = grammar.scales[scale]
        if noun:
            scaled = grammar.counted(numerals.spoken(number, grammar), worth, noun, whole=not decimals)
        else:
            scaled = f"{_before_scale(number, scale, grammar)} {scale}"
        return grammar.counted(scaled, worth * 10**power, major)
    if len(decimals) == 2 and (minor or decimals == "00"):
        units = grammar.counted(numerals.cardinal(int(whole), grammar.numerals), int(whole), major)
        cents = int(decimals)
        if not cents or minor is None:
            return units
        words = numerals.cardinal(cents, grammar.numerals)
        parts = grammar.counted(words, cents, minor) if grammar.cents_named or not int(whole) else words
        return parts if not int(whole) else grammar.cents.format(major=units, minor=parts)
    return grammar.counted(numerals.spoken(number, grammar), worth, major, whole=not decimals)


def _before_scale(number: str, scale: str, grammar: Grammar) -> str:
    """A number before a scale in words, which may be feminine: "eine Million"."""
    nouns = [noun for _, noun in grammar.scales.values() if noun and scale in (noun.one, noun.many)]
    return grammar.agreeing(numerals.spoken(number, grammar), nouns[0].gender if nouns else "m")


def _measures(grammar: Grammar, number: str) -> list[Rule]:
    names = {name.replace("²", "2").replace("³", "3"): noun for name, noun in grammar.units.items()}
    names |= grammar.units
    sign = r"(?=[-\d])(?P<minus>(?<![\w.,)%-])-)?"
    unit = re.compile(
        rf"{sign}(?<![\w.,])(?P<number>{number})(?P<gap>\s?|-)(?P<unit>{one_of(names)})(?![\w²³°/]|['’][^\W_]){INNER_STOP}"
    )
    percent = re.compile(rf"{sign}(?<![\w.,])(?P<number>{number})\s?%")

    def measure(match: re.Match[str]) -> str:
        noun = names[match["unit"]]
        if match["gap"] == "-":
            noun = Noun(noun.one, noun.one, noun.gender)
        whole = not numerals.parts(match["number"], grammar)[1]
        words = numerals.spoken(match["number"], grammar)
        said = grammar.counted(words, numerals.value(match["number"], grammar), noun, whole=whole)
        return f"{grammar.minus} {said}" if match["minus"] else said

    def share(match: re.Match[str]) -> str:
        said = f"{numerals.spoken(match['number'], grammar)} {grammar.percent}"
        return f"{grammar.minus} {said}" if match["minus"] else said

    alone = re.compile(rf"(?<!\w){one_of(name for name in grammar.units if name[-1] in '²³')}(?![\w²³])")
    made = [Rule("measure", unit, measure), Rule("measure", alone, lambda match: grammar.units[match[0]].one, "²³")]
    return [*made, Rule("percentage", percent, share, "%")] if grammar.percent else made


def _fraction(match: re.Match[str], grammar: Grammar) -> str | None:
    top, bottom = int(match[2]), int(match[3])
    noun = grammar.fractions.get(bottom)
    if noun is None and grammar.language == "en" and 3 <= bottom <= 20:
        name = numerals.ordinal(bottom, grammar)
        noun = Noun(name, name + "s")
    words = numerals.spoken(match[2], grammar)
    if noun is not None and 0 < top < bottom:
        said = grammar.counted(words, top, noun)
        return f"{numerals.spoken(match[1], grammar)} {grammar.both} {said}" if match[1] else said
    said = f"{words} {grammar.over} {numerals.spoken(match[3], grammar)}"
    return f"{numerals.spoken(match[1], grammar)} {said}" if match[1] else said


def _ordinal(match: re.Match[str], grammar: Grammar) -> str | None:
    number = int(match[1])
    if number == 0:
        return None
    said = numerals.ordinal(number, grammar)
    if match.groupdict().get("cut"):
        said = said[:-1]  # "tercer" before a noun
    if any(value for name, value in match.groupdict().items() if name.startswith("f")):
        said = replace_ending(said, grammar.ordinal_feminine)
    # Romanian's ordinals begin with an article, which is written out before the digits.
    first = said.split(" ")[0]
    repeated = re.search(rf"\b{re.escape(first)}\s$", match.string[: match.start()])
    return said[len(first) + 1 :] if repeated else said


def _declined(match: re.Match[str], grammar: Grammar) -> str | None:
    before = match.string[: match.start(1)]
    return match.string[match.start() : match.start(2)] + declined(
        numerals.ordinal(int(match[2]), grammar), before, grammar
    )
