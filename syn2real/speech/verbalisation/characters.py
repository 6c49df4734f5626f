"""Characters that a language's voice cannot speak: named with their place, counted, and taken out."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from syn2real.speech.verbalisation.languages import grammar

Reason = Literal["control", "emoji or picture", "other script", "private use", "unassigned", "symbol without words"]

# The scripts of languages that are not written in Latin letters, as Unicode names begin; Latin may stand beside them.
SCRIPTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "kk", "ky", "mn", "tg", "tt", "ba", "cv", "ce"), ("CYRILLIC",)),
    **dict.fromkeys(("ar", "fa", "ur", "ps", "ug", "sd"), ("ARABIC",)),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), ("DEVANAGARI",)),
    **dict.fromkeys(("he", "yi"), ("HEBREW",)),
    **dict.fromkeys(("bn", "as"), ("BENGALI",)),
    **dict.fromkeys(("am", "ti"), ("ETHIOPIC",)),
    **dict.fromkeys(("zh", "yue"), ("CJK", "BOPOMOFO")),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL", "CJK"),
    "el": ("GREEK",),
    "sr": ("CYRILLIC",),
    "az": ("CYRILLIC",),
    "uz": ("CYRILLIC",),
    "hy": ("ARMENIAN",),
    "ka": ("GEORGIAN",),
    "th": ("THAI",),
    "lo": ("LAO",),
    "km": ("KHMER",),
    "my": ("MYANMAR",),
    "si": ("SINHALA",),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "kn": ("KANNADA",),
    "ml": ("MALAYALAM",),
    "gu": ("GUJARATI",),
    "pa": ("GURMUKHI", "ARABIC"),
    "or": ("ORIYA",),
    "bo": ("TIBETAN",),
}
# Languages known to be written in Latin letters. In others that are not above any letter may be right.
LATIN = (
    " af an ast az bs ca cs cy da de en eo es et eu fi fo fr fy ga gd gl gn hr ht hu ia id is it jv ku la lb ln lt lv"
    " mg mi ms mt nb nl nn no oc pl pt qu ro sk sl sn so sq sv sw tk tl tr uz vi wo xh yo zu "
)
ANY = ("LATIN", "FEMININE", "MASCULINE", "MODIFIER")  # in the text of every language; "ª" and "º" are letters too
JOINERS = "\u200c\u200d"  # spelling in Arabic and Indic scripts, glue between emoji elsewhere
SPACES = "\t\n\r\u2028\u2029"
SILENT = "^`´¨¯|•·†‡©®™¶"  # symbols that nobody reads aloud; punctuation is silent anyway
_PLAIN = re.compile(r"[A-Za-z0-9 ,.'?!:;\"()-]*")


@dataclass(frozen=True)
class BadCharacter:
    """One that cannot be spoken: where it stands, counted in characters from 0, and why."""

    place: int
    character: str
    reason: Reason

    @property
    def name(self) -> str:
        """Code point and Unicode name."""
        return describe(self.character)


@dataclass(frozen=True)
class CharacterCount:
    """How often a character that cannot be spoken occurs, and the number of the first line that has it."""

    character: str
    reason: Reason
    count: int
    first_line: int


def bad_characters(text: str, language: str) -> list[BadCharacter]:
    """The characters of ``text`` that a voice of the language (ISO 639-1 or a locale) cannot speak, in order.

    Letters of another script, emoji and pictures, control and invisible characters, private use, and symbols for
    which the language has no word. For a language whose script is not known, any letter is taken to be its own.

    >>> [(bad.place, bad.reason) for bad in bad_characters("Hi \\u0436!", "en")]
    [(3, 'other script')]
    """
    if _PLAIN.fullmatch(text):
        return []
    found: list[BadCharacter] = []
    good = True  # the character before
    for place, character in enumerate(text):
        reason = _reason(character, language)
        if reason is None and not good and unicodedata.category(character)[0] == "M":
            reason = found[-1].reason  # an accent goes with what it stands on
        if reason is not None:
            found.append(BadCharacter(place, character, reason))
        good = reason is None
    return found


def without(text: str, bad: Iterable[BadCharacter]) -> str:
    """``text`` without these: invisible ones vanish, others leave a space, and white space becomes single."""
    characters = list(text)
    for one in bad:
        characters[one.place] = "" if one.reason == "control" else "\0"
    left = re.sub(r"(?:\s*\0)+\s*(?=[,.!?;:…)\]])", "", "".join(characters))
    return " ".join(left.replace("\0", " ").split())


def tally(lines: Iterable[tuple[int, str]], language: str) -> list[CharacterCount]:
    """What `bad_characters` finds in numbered lines, by character, the most frequent first."""
    counts: Counter[str] = Counter()
    first: dict[str, tuple[int, Reason]] = {}
    for number, text in lines:
        for bad in bad_characters(text, language):
            counts[bad.character] += 1
            first.setdefault(bad.character, (number, bad.reason))
    return [CharacterCount(c, first[c][1], count, first[c][0]) for c, count in counts.most_common()]


def describe(character: str) -> str:
    """``U+1F600 GRINNING FACE``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()


@cache
def _reason(character: str, language: str) -> Reason | None:
    kind = unicodedata.category(character)
    base = language.lower().replace("_", "-").partition("-")[0]
    own = SCRIPTS.get(base, ())
    if kind in ("Cc", "Cf", "Cs"):
        spelling = character in JOINERS and own not in ((), ("CYRILLIC",), ("GREEK",), ("CJK", "BOPOMOFO"))
        return None if character in SPACES or spelling else "control"
    if kind == "Co":
        return "private use"
    if kind == "Cn":
        return "unassigned"
    if kind[0] == "L":
        return None if _of_script(character, base, own) else "other script"
    if kind == "Nd" or character.isdigit():
        return None
    if kind[0] == "M":
        return "emoji or picture" if "\ufe00" <= character <= "\ufe0f" or character == "\u20e3" else None
    if kind[0] == "N":
        # Vulgar fractions are numbers; Roman numerals of one character are letters when taken apart.
        return None if unicodedata.normalize("NFKC", character) != character else "symbol without words"
    if kind[0] == "S":
        known = grammar(language)
        if character in SILENT or (known is not None and character in known.symbols):
            return None
        if kind in ("So", "Sk") or unicodedata.name(character, "").endswith(("ARROW", "ARROWS")):
            return "emoji or picture"
        return "symbol without words"
    return None


def _of_script(character: str, base: str, own: tuple[str, ...]) -> bool:
    """Whether a letter may stand in text of the language."""
    if character.isascii():
        return True
    name = unicodedata.name(character, "")
    script = name.removeprefix("HALFWIDTH ").removeprefix("FULLWIDTH ").partition(" ")[0]
    script = script.partition("-")[0]  # KATAKANA-HIRAGANA PROLONGED SOUND MARK
    if script in ANY or script in own or script == "MATHEMATICAL":
        return True
    return not own and f" {base} " not in LATIN
