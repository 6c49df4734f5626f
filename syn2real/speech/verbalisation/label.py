"""The label rule: what an engine is given to speak, and what is then the transcript, decided in one place.

By default both are the spoken form: a clip that says "five thirty" is labelled "five thirty", with the capitals and
punctuation of the written text. Scoring uses the same rule (the normalisers ``spoken-…``), so that a recogniser which
writes "5:30" is not counted as wrong.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal

from syn2real.errors import UserError
from syn2real.speech.verbalisation.characters import BadCharacter, bad_characters, without
from syn2real.speech.verbalisation.languages import knows_signs
from syn2real.speech.verbalisation.verbaliser import Change, verbalise

Label = Literal["spoken", "written"]
Style = Literal["plain", "slurp"]
LABELS: tuple[Label, ...] = ("spoken", "written")
STYLES: tuple[Style, ...] = ("plain", "slurp")

_MERIDIEM = re.compile(r"\b([ap])\.?\s?m\b\.?", re.IGNORECASE)
_COMPATIBLE = ("<font>", "<wide>", "<narrow>", "<compat>")  # other shapes of plain letters
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc\u2018`\u00b4", "'"))


@dataclass(frozen=True)
class Spoken:
    """A written text, what an engine is given of it, and the transcript of what the engine says."""

    written: str
    spoken: str  # empty when nothing in the text can be spoken
    label: str
    changes: tuple[Change, ...] = ()
    removed: tuple[BadCharacter, ...] = ()  # by place in `written`


@dataclass(frozen=True)
class TextRule:
    """How the text of one language is spoken and labelled.

    ``verbalise`` puts numbers, signs and abbreviations in words and takes out what cannot be spoken; without it an
    engine is given the text as it stands and reads digits as it likes. ``label`` is what the transcript follows.
    ``style`` ``slurp`` writes the transcript as SLURP does: small letters, no punctuation but apostrophes, "am" and
    "pm" in one; what the engine is given keeps its punctuation.
    """

    language: str
    verbalise: bool = True
    label: Label = "spoken"
    style: Style = "plain"

    def __post_init__(self) -> None:
        for name, value, known in (("label", self.label, LABELS), ("style", self.style, STYLES)):
            if value not in known:
                raise UserError(f"{name} must be {' or '.join(known)}, not {value!r}")

    def __call__(self, text: str) -> Spoken:
        """What is spoken and what is the label. Raises `NotInstalled` where digits need num2words.

        >>> TextRule("en", label="written")("At 5:30, Dr. Li.").spoken
        'At five thirty, Doctor Li.'
        """
        written = " ".join(text.split())
        if not self.verbalise:
            return Spoken(written, written, self._styled(written))
        plain = _plain_letters(written)
        # Places are those of the text as it came, unless letters of other shapes came apart.
        removed = tuple(bad for bad in bad_characters(plain, self.language) if self._leaves_out(bad))
        clean = without(plain, removed) if removed else plain
        found = verbalise(clean, self.language)
        spoken = " ".join(found.text.split()) if any(c.isalnum() for c in found.text) else ""
        label = spoken if self.label == "spoken" else clean
        return Spoken(written, spoken, self._styled(label) if spoken else "", found.changes, removed)

    def _leaves_out(self, bad: BadCharacter) -> bool:
        """Whether a character is taken out; a sign for which only our table has no word is left to the engine."""
        return bad.reason != "symbol without words" or knows_signs(self.language)

    def _styled(self, text: str) -> str:
        return bare(text) if self.style == "slurp" else text


def bare(text: str) -> str:
    """Words alone: small letters, no punctuation but apostrophes within words, "a. m." as "am".

    >>> bare("Wake me up at five A.M., it's twenty-one degrees!")
    "wake me up at five am it's twenty-one degrees"
    """
    text = _MERIDIEM.sub(lambda match: f"{match[1]}m", text).lower().translate(_APOSTROPHES)
    kept = []
    for character in text:
        kept.append(character if character == "'" or unicodedata.category(character)[0] in "LMNS" else " ")
    return " ".join(word.strip("'") or "" for word in "".join(kept).split() if word.strip("'"))


def _plain_letters(text: str) -> str:
    """Letters of other shapes (full-width, mathematical, ligatures) as the plain ones they stand for."""
    if text.isascii():
        return text
    return "".join(_plain(character) for character in text)


@cache
def _plain(character: str) -> str:
    if unicodedata.decomposition(character).startswith(_COMPATIBLE) and unicodedata.category(character) in (
        "Lu",
        "Ll",
        "Lo",
        "Nl",
    ):
        return unicodedata.normalize("NFKC", character)
    return character
