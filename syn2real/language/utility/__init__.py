"""How useful a chat model is: the questions of a task, its answers, and how they are marked."""

from syn2real.language.utility.asking import AskingSettings, ask_all
from syn2real.language.utility.metric import METRICS, Metric, Reply, Score, metric_named
from syn2real.language.utility.questions import Question, read_questions
from syn2real.language.utility.task import Task, load_task

__all__ = [
    "METRICS",
    "AskingSettings",
    "Metric",
    "Question",
    "Reply",
    "Score",
    "Task",
    "ask_all",
    "load_task",
    "metric_named",
    "read_questions",
]
