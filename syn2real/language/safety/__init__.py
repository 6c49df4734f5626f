"""How safe a chat model is: what it answers to harmful requests, who judges that, and what harmless ones it refuses."""

from syn2real.language.safety.answers import Answer, AnswerSettings, answer_all, read_answers
from syn2real.language.safety.judge import JUDGES, Judge, Verdict, judge_named
from syn2real.language.safety.prompts import SafetyPrompt, read_prompts

__all__ = [
    "JUDGES",
    "Answer",
    "AnswerSettings",
    "Judge",
    "SafetyPrompt",
    "Verdict",
    "answer_all",
    "judge_named",
    "read_answers",
    "read_prompts",
]
