"""Transcripts in a CTC model's characters: what has a sound is written or reported, what has none only parts words."""

import doctest

import pytest

from syn2real.speech import alphabet
from syn2real.speech.alphabet import Alphabet

UPPER = Alphabet.of({"<pad>": 0, "|": 1, **{c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ'", 2)}}, "|")
GERMAN = Alphabet.of({"|": 0, **{c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyzäöüß", 1)}}, "|")
# Devanagari's nukta is a mark of its own here, as in many vocabularies.
MARKS = Alphabet.of({"|": 0, "ज": 1, "\u093c": 2}, "|")


def written(letters: Alphabet, text: str) -> str:
    known = {index: character for character, index in letters.ids.items()} | {letters.between: " "}
    spelling = letters.spell(text)
    assert spelling.unknown == []
    return "".join(known[index] for index in spelling.ids)


def test_examples():
    assert doctest.testmod(alphabet).failed == 0


@pytest.mark.parametrize(
    ("letters", "text", "expected"),
    [
        (UPPER, "Hello, world.", "HELLO WORLD"),
        (UPPER, "  “Don’t!” — she said…", "DON'T SHE SAID"),
        (UPPER, "twenty-one", "TWENTY ONE"),
        (UPPER, "co\u00adop|ted", "COOP TED"),
        (GERMAN, "Straße ÜBER Öl", "straße über öl"),
        (GERMAN, "U\u0308ber", "über"),
        (GERMAN, "geht's", "gehts"),
        (MARKS, "\u095b", "ज\u093c"),
        (UPPER, "?!", ""),
    ],
)
def test_texts_are_spelt_in_the_vocabulary(letters, text, expected):
    assert written(letters, text) == expected


def test_letters_digits_and_signs_that_it_lacks_are_reported():
    assert UPPER.spell("café 7 € a & b 5%").unknown == ["é", "7", "€", "&", "5", "%"]


def test_a_vocabulary_of_both_cases_keeps_the_case():
    both = Alphabet.of({"|": 0, "a": 1, "A": 2}, "|")
    assert both.spell("aA").ids == [1, 2]
