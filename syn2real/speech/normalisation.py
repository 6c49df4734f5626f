"""Text normalisers: what is forgiven before words are compared. Both sides go through the same one.

`none` leaves case and punctuation as they are. `basic` is Whisper's for every language: lower case, no
punctuation or symbols, no text in brackets; accents are kept, as they are letters, but in scripts of which vowels are
marks (Devanagari, Thai) it blanks these and splits words there. `unicode` is the same with all marks kept. `english`
also undoes contractions, writes numbers as digits and British spelling as American. `spoken-es` (or any other language)
puts numbers, signs and abbreviations in that language's words first, by the rule that labels synthetic speech.
"""

import importlib.util
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.speech.verbalisation import VERSION, bare, verbalise
from syn2real.speech.verbalisation.languages import TABLES, grammar

SPOKEN = "spoken-"  # and a language
_BRACKETS = re.compile(r"<[^>]*>|\[[^\]]*\]|\([^)]*\)")
_MARKS_FROM = re.compile("[\u0300-\U0010ffff]")  # nothing before is a mark
_SPELLING_PACKAGE = "whisper-normalizer"  # carries OpenAI's english.json, byte for byte, and needs no torch


@dataclass(frozen=True)
class Normaliser:
    """A named map from text to text; ``version`` says whose code it is, as results differ between versions."""

    name: str
    version: str
    _apply: Callable[[str], str] = field(repr=False, compare=False)

    def __call__(self, text: str) -> str:
        """The normalised text, its words separated by single spaces."""
        return " ".join(self._apply(text).split())

    def __str__(self) -> str:
        return f"{self.name} ({self.version})" if self.version else self.name


def names() -> list[str]:
    """The normalisers there are; of those that speak, the languages with more than numbers."""
    return sorted([*_MAKERS, *(SPOKEN + language for language in TABLES)])


@cache
def normaliser(name: str) -> Normaliser:
    """The normaliser called ``name``. Raises `UserError` for an unknown name, `NotInstalled` for a missing package."""
    require_known(name)
    return _MAKERS[name]() if name in _MAKERS else _spoken(name)


def require_known(name: str) -> str:
    """``name``, or `UserError` when no normaliser is called so. Loads no package."""
    speaks = name.startswith(SPOKEN) and grammar(name.removeprefix(SPOKEN)) is not None
    if not speaks and name not in _MAKERS:
        raise UserError(f"unknown normaliser {name!r}{did_you_mean(name, names())}")
    return name


def _none() -> Normaliser:
    return Normaliser("none", "", lambda text: text)


def _basic() -> Normaliser:
    label = _installed("transformers")
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    whole = BasicTextNormalizer(remove_diacritics=False, split_letters=False)
    return Normaliser("basic", label, _by_character(whole))


def _unicode() -> Normaliser:
    return Normaliser("unicode", "rules 2", _marked)


def _marked(text: str) -> str:
    """The text in lower case and composed, without what is in brackets; letters, marks and numbers are kept, format
    characters go, all else parts words."""
    plain = unicodedata.normalize("NFKC", _BRACKETS.sub("", text))  # which has capitals for signs such as № and ℃
    plain = unicodedata.normalize("NFKC", plain.lower())
    return "".join(_written(sign) for sign in plain)


def _written(sign: str) -> str:
    kind = unicodedata.category(sign)
    return sign if kind[0] in "LMN" else "" if kind == "Cf" else " "


def blanks_marks(text: str) -> bool:
    """Whether `basic` would blank marks of a text that are parts of its words."""
    if not _MARKS_FROM.search(text):
        return False
    return any(unicodedata.category(sign)[0] == "M" for sign in unicodedata.normalize("NFC", text))


def _by_character(normalise: Callable[[str], str]) -> Callable[[str], str]:
    """The same, several times faster on ASCII without brackets, of which each character becomes what it becomes alone.

    So it is with `basic`, whose rules concern brackets, single characters, and characters that Unicode composes.
    """
    table = {code: normalise(chr(code)) or " " for code in range(128)}

    def apply(text: str) -> str:
        if text.isascii() and not ("(" in text or "[" in text or "<" in text):
            return text.translate(table)
        return normalise(text)

    return apply


def _english() -> Normaliser:
    label = f"{_installed('transformers')}, {_installed(_SPELLING_PACKAGE)}"
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return Normaliser("english", label, EnglishTextNormalizer(_spelling()))


def _spoken(name: str) -> Normaliser:
    basic, language = _basic(), name.removeprefix(SPOKEN)
    label = f"{basic.version}, {_installed('num2words')}, rules {VERSION}"
    return Normaliser(name, label, lambda text: basic(bare(verbalise(text, language).text)))


_MAKERS: dict[str, Callable[[], Normaliser]] = {
    "none": _none,
    "basic": _basic,
    "unicode": _unicode,
    "english": _english,
}


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError as error:
        raise NotInstalled(package, "speech") from error


def _spelling() -> dict[str, str]:
    """British to American spelling. The package is located, not imported: its modules load other packages."""
    found = importlib.util.find_spec(_SPELLING_PACKAGE.replace("-", "_"))
    for folder in (found.submodule_search_locations if found else None) or []:
        place = Path(folder) / "normalizers" / "english.json"
        if place.is_file():
            table: dict[str, str] = json.loads(place.read_text(encoding="utf-8"))
            return table
    raise NotInstalled(f"the spelling map of {_SPELLING_PACKAGE}", "speech")
