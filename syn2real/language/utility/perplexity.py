"""Perplexity: how little the references surprise the model that is asked."""

from collections.abc import Sequence
from typing import Literal

from syn2real.errors import UserError
from syn2real.language.chat import ChatModel
from syn2real.language.chat.asking import TOGETHER, by_length
from syn2real.language.chat.local import LocalModel
from syn2real.language.utility.metric import Reply, Score, require_references
from syn2real.language.utility.questions import Question


class Perplexity:
    """exp of the mean negative log-likelihood of the tokens of each question's first reference, after its prompt."""

    name = headline = "perplexity"
    unit: Literal["nats"] = "nats"
    samples = 0

    def require(self, questions: Sequence[Question]) -> None:
        """See `Metric.require`."""
        require_references(questions, self.name)
        empty = next((question.id for question in questions if not question.references[0]), None)
        if empty is not None:
            raise UserError(f"question {empty!r} has an empty reference, which has no perplexity")

    def scores(self, replies: Sequence[Reply], model: ChatModel | None = None) -> list[Score]:
        """See `Metric.scores`: mean nats a token, weighed by tokens. Raises `UserError` for a server's model."""
        if not isinstance(model, LocalModel):
            raise UserError("perplexity needs the model itself, not a server's: give a directory or a hub id")
        pairs = [(model.templated(reply.conversation), reply.question.references[0]) for reply in replies]
        found = by_length(
            [sum(map(len, pair)) for pair in pairs],
            lambda places: model.likelihoods([pairs[place] for place in places]),
            title="reading references",
            together=TOGETHER,
        )
        return [Score({"perplexity": -likelihood / tokens}, float(tokens)) for likelihood, tokens in found]
