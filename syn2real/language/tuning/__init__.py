"""Tuning of chat models: what is learnt from, how, and the model that comes of it."""

from syn2real.language.tuning.examples import ChatExample, Example, Preference
from syn2real.language.tuning.reading import read_examples
from syn2real.language.tuning.settings import LoraSettings, TuningSettings

__all__ = ["ChatExample", "Example", "LoraSettings", "Preference", "TuningSettings", "read_examples"]
