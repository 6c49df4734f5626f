"""Telephone numbers, ranges, and every number that no other rule has taken."""

import re
import unicodedata

from syn2real.speech.verbalisation import numerals
from syn2real.speech.verbalisation.grammar import Grammar
from syn2real.speech.verbalisation.rule import Rule

TELEPHONE = (7, 15)  # digits


def telephone(grammar: Grammar) -> list[Rule]:
    """Numbers that are read digit by digit."""
    grouped = re.compile(
        r"(?<![\w.,/-])(?:\+\s?)?\(?\d{1,5}\)?(?:[ \u00a0\u202f./-]{1,2}\(?\d{2,8}\)?)+(?![\w]|[-/:,.]\d)"
    )
    plain = re.compile(r"(?<![\w.,])(\+)\d{7,15}(?!\w|[.,]\d)")

    def spell(match: re.Match[str]) -> str:
        groups = re.findall(r"\d+", match[0])
        if grammar.pairs and all(len(group) == 2 for group in groups):
            words = " ".join(numerals.spoken(group, grammar) for group in groups)
        else:
            words = numerals.digits(match[0], grammar)
        plus = grammar.symbols.get("+")
        return f"{plus} {words}" if plus and match[0].startswith("+") else words

    def say(match: re.Match[str]) -> str | None:
        groups = re.findall(r"\d+", match[0])
        count = sum(map(len, groups))
        prefixed = match[0][0] in "+0(" or (match[0][0] == "1" and len(groups) == 4)
        local = grammar.month_then_day and re.fullmatch(r"\d{3}-\d{4}", match[0])
        likely = prefixed or len(groups) >= 3 or local
        if not TELEPHONE[0] <= count <= TELEPHONE[1] or not likely:
            return None
        if not prefixed and re.fullmatch(numerals.number_pattern(grammar), match[0]):
            return None  # groups of three, as in 1 000 000
        return spell(match)

    return [Rule("telephone", grouped, say), Rule("telephone", plain, spell, "+")]


def ranges(grammar: Grammar) -> list[Rule]:
    """From a smaller number to a larger one. The larger is left for what follows it, a unit perhaps."""
    if not grammar.to:
        return []
    number = numerals.number_pattern(grammar)
    pattern = re.compile(rf"(?<![\w/.,$€£¥-])(?P<a>{number})(?:[-–—]|\s[-–—]\s)(?=(?P<b>{number})(?![-/]\d))")

    def say(match: re.Match[str]) -> str | None:
        if numerals.value(match["a"], grammar) >= numerals.value(match["b"], grammar):
            return None
        return f"{_number(match['a'], '', grammar)} {grammar.to}"

    return [Rule("range", pattern, say, "-–—")]


def rest(grammar: Grammar) -> list[Rule]:
    """All that is left, so that no digit stays."""
    number = numerals.number_pattern(grammar)
    made = []
    made.append(Rule("ratio", re.compile(r"(?<=\d)\s?:\s?(?=\d)"), lambda m: f" {grammar.ratio or grammar.to} ", ":"))
    if grammar.minus:
        made.append(Rule("minus", re.compile(r"(?<![\w.,)\]%€$£°'’-])-(?=\d)"), lambda m: f"{grammar.minus} ", "-"))
    if grammar.made_of_numbers:
        pattern = re.compile(rf"(?<![\w.,])['’]?(\d{{1,4}}){grammar.made_of_numbers}(?!\w)")
        made.append(Rule("number", pattern, lambda m: f"{numerals.year(int(m[1]), grammar)}{grammar.made_of_numbers}"))
    several = re.compile(r"\d+(?:[.,]\d+)+")
    made += [
        Rule("number", re.compile(number), lambda m: _number(m[0], m.string[m.end() :], grammar)),
        Rule("number", several, lambda m: _several(m[0], grammar), ".,"),
        Rule("number", re.compile(r"\d+"), lambda m: numerals.spoken(m[0], grammar)),
        Rule("number", re.compile(r"[²³]"), lambda m: numerals.digits(str(unicodedata.digit(m[0])), grammar), "²³"),
    ]
    return made


def _number(written: str, after: str, grammar: Grammar) -> str:
    """A number, as a year where it may be one, and in agreement with the noun that follows."""
    if written.isdigit() and len(written) == 4 and written[0] != "0":
        words = numerals.year(int(written), grammar)
    else:
        words = numerals.spoken(written, grammar)
    if grammar.noun and not numerals.parts(written, grammar)[1]:
        linked = r"(?:de\s)?" if grammar.link_from else ""  # "22 de fete"
        following = re.match(rf"\s{linked}({grammar.noun})", after)
        if following:
            likely = grammar.feminine is not None and re.search(grammar.feminine, following[1])
            words = grammar.agreeing(words, "f" if likely else "m")
    return words


def _several(written: str, grammar: Grammar) -> str:
    """Numbers joined by full stops or commas: a decimal of another country, a version, a list."""
    commas = written.count(",")
    if grammar.point and (not commas or (commas == 1 and "." not in written)):
        between = f" {grammar.point} "
        return between.join(numerals.spoken(part, grammar) for part in re.split(r"[.,]", written))
    said = [numerals.spoken(part, grammar) for part in re.split(r"[.,]", written)]
    return (", " if commas else " ").join(said)
