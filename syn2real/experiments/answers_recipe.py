"""Of a recipe, how a model is asked a sentence and its twin, and how far apart its answers are."""

from typing import Annotated, Any

from pydantic import Field

from syn2real.documents import Strict
from syn2real.language.bias.answering import AnswerSettings
from syn2real.language.bias.scorers import Scorer, scorer_named


class AnswersRecipe(Strict):
    """How answers are asked for, and compared; see `syn2real.language.bias.scorers`."""

    system: str | None = None  # None: the model's own, where its chat template has one
    max_tokens: Annotated[int, Field(ge=1)] = 32
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    scorer: str = "vader"
    scorer_options: Annotated[dict[str, Any], Field(default_factory=dict)]

    def settings(self) -> AnswerSettings:
        """As answers are asked for."""
        return AnswerSettings(self.system, self.max_tokens, self.temperature)

    def comparing(self) -> Scorer:
        """What compares them. Raises `UserError` for a scorer that there is not, or is not installed."""
        return scorer_named(self.scorer, **self.scorer_options)
