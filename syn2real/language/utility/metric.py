"""How an answer is marked: metrics behind one interface, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from syn2real.errors import UserError
from syn2real.language.chat import ChatModel, Conversation
from syn2real.language.options import made
from syn2real.language.utility.questions import Question
from syn2real.registry import Registry


@dataclass(frozen=True)
class Reply:
    """A question as it was asked, and what was answered, as often as it was asked."""

    question: Question
    conversation: Conversation
    texts: tuple[str, ...] = ()
    shortened: bool = False  # it lost its beginning, for the model's context holds no more


@dataclass(frozen=True)
class Score:
    """What a metric makes of one question: values by name, and how much it weighs in their mean."""

    values: Mapping[str, float]
    weight: float = 1.0
    note: str = ""


class Metric(Protocol):
    """One way of marking. A ``share`` lies within 0 and 1; of ``nats``, a mean logarithm, the exponential is shown, and
    less is better."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def headline(self) -> str:
        """Which of its values counts."""

    @property
    def unit(self) -> Literal["share", "nats"]:
        """What its values are."""

    @property
    def samples(self) -> int:
        """How many answers to a question it needs; 0: it reads no answer."""

    def require(self, questions: Sequence[Question]) -> None:
        """Raise `UserError` for questions that it cannot mark, before anything is asked."""

    def scores(self, replies: Sequence[Reply], model: ChatModel | None) -> list[Score]:
        """A score for each reply, in their order. ``model`` is who was asked, where that is known. Raises
        `UserError`."""


METRICS: Registry[Callable[..., Metric]] = Registry("metric")


@METRICS.register("exact")
def _exact(**options: Any) -> Metric:
    from syn2real.language.utility.exact import ExactMatch

    return made("metric", "exact", ExactMatch, options)


@METRICS.register("rouge")
def _rouge(**options: Any) -> Metric:
    from syn2real.language.utility.rouge import Rouge

    return made("metric", "rouge", Rouge, options)


@METRICS.register("bertscore")
def _bertscore(**options: Any) -> Metric:
    from syn2real.language.utility.bertscore import BertScore

    return made("metric", "bertscore", BertScore, options)


@METRICS.register("pass_at_k")
def _pass_at_k(**options: Any) -> Metric:
    from syn2real.language.utility.passing import PassAtK

    return made("metric", "pass_at_k", PassAtK, options)


@METRICS.register("perplexity")
def _perplexity(**options: Any) -> Metric:
    from syn2real.language.utility.perplexity import Perplexity

    return made("metric", "perplexity", Perplexity, options)


def metric_named(name: str, /, **options: Any) -> Metric:
    """The metric of this name, with those options that are given. Raises `UserError` for what there is not, and for
    options that it does not take."""
    return made("metric", name, METRICS.get(name), options)


def require_references(questions: Sequence[Question], name: str) -> None:
    """Raise `UserError` for a question that has nothing to be compared with."""
    without = next((question.id for question in questions if not question.references), None)
    if without is not None:
        raise UserError(f"question {without!r} has no reference, which {name} compares with; choose another metric")
