"""Spelling transcripts with the characters that a CTC model knows: its vocabulary is small, its letters often of one
case, and most have no punctuation."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

APOSTROPHES = "'\u2019\u02bc\u0060\u00b4\u2018"  # written alike, meant alike
SPOKEN = "%‰&@#*"  # punctuation to Unicode, words to a reader


@dataclass(frozen=True)
class Spelling:
    """A transcript in a model's characters."""

    ids: list[int]
    unknown: list[str] = field(default_factory=list)  # characters with a sound that the model cannot write


@dataclass(frozen=True)
class Alphabet:
    """The single characters of a vocabulary, and the token between words."""

    ids: Mapping[str, int]
    between: int

    @classmethod
    def of(cls, vocabulary: Mapping[str, int], delimiter: str) -> "Alphabet":
        """The characters among the tokens of a vocabulary; ``delimiter`` stands between words."""
        characters = {token: index for token, index in vocabulary.items() if len(token) == 1 and token != delimiter}
        return cls(characters, vocabulary[delimiter])

    def spell(self, text: str) -> Spelling:
        """The ids of a text.

        Letters take the case that the vocabulary has them in; apostrophes of all kinds are one; other punctuation that
        the vocabulary lacks has no sound and only parts words.

        >>> Alphabet.of({"|": 0, "A": 1, "B": 2, "'": 3}, "|").spell("Ab, b’a!")
        Spelling(ids=[1, 2, 0, 2, 3, 1], unknown=[])
        >>> Alphabet.of({"|": 0, "a": 1}, "|").spell("a é 7").unknown
        ['é', '7']
        """
        ids: list[int] = []
        unknown = []
        for character in unicodedata.normalize("NFC", text):
            found = next((form for form in _forms(character) if all(part in self.ids for part in form)), None)
            if found is not None:
                ids += [self.ids[part] for part in found]
            elif character in APOSTROPHES or unicodedata.category(character) == "Cf":
                continue
            elif _silent(character):
                if ids and ids[-1] != self.between:
                    ids.append(self.between)
            else:
                unknown.append(character)
        if ids and ids[-1] == self.between:
            ids.pop()
        return Spelling(ids, unknown)


def _forms(character: str) -> Iterator[str]:
    """Ways to write a character, the nearest first."""
    yield character
    yield character.upper()
    yield character.lower()
    yield unicodedata.normalize("NFD", character)
    if character in APOSTROPHES:
        yield from APOSTROPHES


def _silent(character: str) -> bool:
    punctuation = unicodedata.category(character)[0] == "P" and character not in SPOKEN
    return punctuation or character.isspace() or character == "|"
