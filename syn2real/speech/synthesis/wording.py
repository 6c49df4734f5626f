"""Sentences as they are spoken, each with its transcript."""

from collections.abc import Iterable
from dataclasses import replace

from syn2real.speech.corpus import Sentence
from syn2real.speech.verbalisation import TextRule


def worded(sentences: Iterable[Sentence], rule: TextRule) -> list[Sentence]:
    """The sentences with the text that an engine is given, which is empty where nothing can be spoken. One that is
    spoken and labelled as it is written stays as it is. Raises `NotInstalled` for digits where num2words is missing."""
    return [_worded(sentence, rule) for sentence in sentences]


def _worded(sentence: Sentence, rule: TextRule) -> Sentence:
    made = rule(sentence.text)
    if made.spoken == made.label == made.written:
        return sentence
    label = None if made.label == made.spoken else made.label
    return replace(sentence, text=made.spoken, label=label, written=made.written)
