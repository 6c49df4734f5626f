"""ROUGE (Lin, 2004): n-grams and longest common subsequences shared with a reference, by the package rouge-score."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, get_args

from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.language.chat import ChatModel
from syn2real.language.utility.metric import Reply, Score, require_references
from syn2real.language.utility.questions import Question

Kind = Literal["rouge1", "rouge2", "rougeL", "rougeLsum"]
KINDS = get_args(Kind)


class Rouge:
    """F1 of each kind; of several references the one that gives most."""

    name = "rouge"
    unit: Literal["share"] = "share"
    samples = 1

    def __init__(self, kind: Kind = "rougeL", stem: bool = True) -> None:
        """``kind`` is the one that counts; ``stem`` compares words by their stems (English)."""
        if kind not in KINDS:
            raise UserError(f"metric rouge: kind {kind!r}: unknown{did_you_mean(str(kind), KINDS)}")
        self.headline = kind
        self._stem = stem

    def require(self, questions: Sequence[Question]) -> None:
        """See `Metric.require`."""
        require_references(questions, self.name)
        _ = self._scorer

    def scores(self, replies: Sequence[Reply], model: ChatModel | None = None) -> list[Score]:
        """See `Metric.scores`."""
        found = (self._scorer.score_multi(list(reply.question.references), reply.texts[0]) for reply in replies)
        return [Score({kind: float(one[kind].fmeasure) for kind in KINDS}) for one in found]

    @cached_property
    def _scorer(self) -> Any:
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError as error:
            raise NotInstalled("rouge-score", "utility") from error
        return RougeScorer(list(KINDS), use_stemmer=self._stem)
