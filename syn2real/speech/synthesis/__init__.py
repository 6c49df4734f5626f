"""From sentences to a synthetic corpus: who speaks each of them, how, and the FLAC files and manifest that result."""

from syn2real.speech.sharing import Shard, SharesLeft
from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.judging import BatchJudge, Clip, ClipJudge, Judges, Verdict
from syn2real.speech.synthesis.preparation import prepare
from syn2real.speech.synthesis.rejection import Rejection, read_rejections
from syn2real.speech.synthesis.rendering import render, set_level, trim
from syn2real.speech.synthesis.rendition import Rendition, plan
from syn2real.speech.synthesis.sealed import synthesize_sealed
from syn2real.speech.synthesis.settings import SynthesisSettings
from syn2real.speech.synthesis.speaking import synthesize
from syn2real.speech.synthesis.workforce import Workforce

__all__ = [
    "BatchJudge",
    "Cast",
    "Clip",
    "ClipJudge",
    "Judges",
    "Rejection",
    "Rendition",
    "Shard",
    "SharesLeft",
    "SynthesisSettings",
    "Verdict",
    "Workforce",
    "plan",
    "prepare",
    "read_rejections",
    "render",
    "set_level",
    "synthesize",
    "synthesize_sealed",
    "trim",
]
