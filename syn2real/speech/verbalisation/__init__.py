"""From written text to the words that are spoken, the transcript that goes with them, and what cannot be spoken."""

from syn2real.speech.verbalisation.characters import BadCharacter, bad_characters, describe, tally
from syn2real.speech.verbalisation.label import Label, Spoken, Style, TextRule, bare
from syn2real.speech.verbalisation.languages import coverage
from syn2real.speech.verbalisation.verbaliser import VERSION, Change, Verbalised, verbalise

__all__ = [
    "VERSION",
    "BadCharacter",
    "Change",
    "Label",
    "Spoken",
    "Style",
    "TextRule",
    "Verbalised",
    "bad_characters",
    "bare",
    "coverage",
    "describe",
    "tally",
    "verbalise",
]
