"""Perplexity: how little the references surprise the model that is asked."""

from collections.abc import Sequence
from typing import Literal

from syn2real.errors import UserError
from syn2real.language.chat import ChatModel
from syn2real.language.chat.local import LocalModel
from syn2real.language.utility.metric import Reply, Score, require_references
from syn2real.language.utility.questions import Question
from syn2real.progress import track

TOGETHER = 32  # references read at once, of similar length


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
        order = sorted(range(len(pairs)), key=lambda place: sum(map(len, pairs[place])))
        found: dict[int, Score] = {}
        for start in track(range(0, len(order), TOGETHER), "reading references"):
            places = order[start : start + TOGETHER]
            for place, (likelihood, tokens) in zip(
                places, model.likelihoods([pairs[place] for place in places]), strict=True
            ):
                found[place] = Score({"perplexity": -likelihood / tokens}, float(tokens))
        return [found[place] for place in range(len(pairs))]
