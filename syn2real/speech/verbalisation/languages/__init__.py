"""The languages with a table of their own, one a module, and those of which only numbers are known."""

from dataclasses import replace
from functools import cache

from syn2real.speech.verbalisation.grammar import Grammar
from syn2real.speech.verbalisation.languages.de import GERMAN
from syn2real.speech.verbalisation.languages.en import ENGLISH
from syn2real.speech.verbalisation.languages.es import SPANISH
from syn2real.speech.verbalisation.languages.fr import FRENCH
from syn2real.speech.verbalisation.languages.it import ITALIAN
from syn2real.speech.verbalisation.languages.pt import PORTUGUESE
from syn2real.speech.verbalisation.languages.ro import ROMANIAN

TABLES = {table.language: table for table in (ENGLISH, SPANISH, FRENCH, GERMAN, ROMANIAN, ITALIAN, PORTUGUESE)}
REGIONS = {
    "en-gb": replace(ENGLISH, day_first=True),
    "en-au": replace(ENGLISH, day_first=True),
    "en-ie": replace(ENGLISH, day_first=True),
    "pt-br": replace(PORTUGUESE, numerals="pt_BR"),
    "es-mx": replace(SPANISH, decimal=".", thousands=",\u00a0\u202f ", point="punto"),
    "fr-be": replace(FRENCH, numerals="fr_BE"),
    "fr-ch": replace(FRENCH, numerals="fr_CH"),
}
POINTS = frozenset(("am", "bn", "cy", "fa", "he", "ja", "kn", "ko", "te", "th"))  # write 3.5, not 3,5
UNSPACED = frozenset(("ja", "th"))
# As num2words calls them, where that is not the ISO code. It lists "am", and fails above 9,999: not taken.
NUMERALS = {"kk": "kz", "nb": "no", "nn": "no"}


@cache
def grammar(language: str) -> Grammar | None:
    """The table for an ISO 639-1 code or a locale such as ``en-GB``; where we have none, one that knows numbers alone;
    None where nobody does. Without num2words nothing is known of these, and any may be asked: it is missed then."""
    tag = language.lower().replace("_", "-")
    base = tag.partition("-")[0]
    if tag in REGIONS or base in TABLES:
        return REGIONS.get(tag) or TABLES[base]
    name = NUMERALS.get(base, base)
    known = _known()
    return _numbers_only(base, name) if known is None or name in known else None


def knows_signs(language: str) -> bool:
    """Whether there is a table, so that more than numbers is put in words."""
    known = grammar(language)
    return known is not None and known.language in TABLES


def coverage(language: str) -> str:
    """What is put in words in a language."""
    if knows_signs(language):
        return "numbers, dates, amounts, signs and abbreviations"
    return "nothing" if grammar(language) is None else "numbers only"


def _numbers_only(language: str, numerals: str) -> Grammar:
    decimal, thousands = (".", ",\u00a0\u202f") if language in POINTS else (",", ".\u00a0\u202f ")
    spaced = language not in UNSPACED
    return Grammar(
        language, numerals, decimal, point="", zero="", minus="", to="", both="", thousands=thousands, spaced=spaced
    )


def _known() -> frozenset[str] | None:
    try:
        from num2words import CONVERTER_CLASSES
    except ImportError:
        return None
    return frozenset(CONVERTER_CLASSES) - {"am"}
