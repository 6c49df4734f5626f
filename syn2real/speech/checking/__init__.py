"""Checking clips: by their samples and text, by what is usual of their voice, and by what a recogniser hears."""

from syn2real.speech.checking.findings import Finding
from syn2real.speech.checking.inspection import Inspected, Inspection, inspect
from syn2real.speech.checking.limits import HearingLimits, Limits, SignalLimits, VoiceLimits
from syn2real.speech.checking.round_trip import Heard, Verdict, judge_hearing
from syn2real.speech.checking.signal import Signal, judge_signal
from syn2real.speech.checking.summary import summarise
from syn2real.speech.checking.voices import Spoken, outliers

__all__ = [
    "Finding",
    "Heard",
    "HearingLimits",
    "Inspected",
    "Inspection",
    "Limits",
    "Signal",
    "SignalLimits",
    "Spoken",
    "Verdict",
    "VoiceLimits",
    "inspect",
    "judge_hearing",
    "judge_signal",
    "outliers",
    "summarise",
]
