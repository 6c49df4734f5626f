"""From sentences to a synthetic corpus: who speaks each of them, how, and the FLAC files and manifest that result."""

from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.rendering import render, set_level, trim
from syn2real.speech.synthesis.rendition import Rendition, plan
from syn2real.speech.synthesis.settings import SynthesisSettings
from syn2real.speech.synthesis.speaking import prepare, synthesize

__all__ = [
    "Cast",
    "Rendition",
    "SynthesisSettings",
    "plan",
    "prepare",
    "render",
    "set_level",
    "synthesize",
    "trim",
]
