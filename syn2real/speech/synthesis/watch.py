"""Telling text that cannot be spoken from an engine that cannot speak.

Both fail sentence after sentence. One is the user's text and is listed; the other (a server that went away, a damaged
voice file, a full disk) must stop the run before thousands of sound sentences are listed too. So a failure counts only
once the same model has spoken after it: of its own accord, or asked to repeat what it spoke before.
"""

from collections.abc import Callable, Iterable
from typing import Any

from syn2real.errors import UserError
from syn2real.speech.synthesis.outcome import Outcome
from syn2real.speech.synthesis.rendition import Rendition

DOUBTFUL = 8  # failures in a row after which a model is asked to repeat what it spoke
HOPELESS = 16  # failures after which a model that never spoke is given up

Repeat = Callable[[Rendition], str | None]


class Watch:
    """Failures held back by model until it is known whose they are. ``repeat`` speaks a rendition and says what was
    wrong, keeping nothing; ``spoken`` are renditions that were spoken before."""

    def __init__(self, repeat: Repeat, spoken: Iterable[Rendition]) -> None:
        self._repeat = repeat
        self._spoken = {_model(rendition): rendition for rendition in spoken}
        self._failed: dict[Any, list[Outcome]] = {}

    def saw(self, rendition: Rendition, outcome: Outcome) -> list[Outcome]:
        """Take note of an outcome; the failures that are now known to be the text's.

        Raises `UserError` when the model has stopped speaking, or never began.
        """
        model = _model(rendition)
        if outcome.problem is None:
            self._spoken[model] = rendition
            return self._failed.pop(model, [])
        failed = self._failed.setdefault(model, [])
        failed.append(outcome)
        if model in self._spoken:
            return self._settle(model) if len(failed) % DOUBTFUL == 0 else []
        if len(failed) >= HOPELESS:
            raise UserError(f"{model[0]} could speak none of {len(failed)} sentences: {failed[0].problem}")
        return []

    def end(self) -> list[Outcome]:
        """The failures held back to the end that are the text's. Raises `UserError` as `saw` does."""
        settled: list[Outcome] = []
        for model, failed in list(self._failed.items()):
            if model in self._spoken:
                settled += self._settle(model)
            elif len(failed) >= DOUBTFUL:
                raise UserError(f"{model[0]} could speak none of {len(failed)} sentences: {failed[0].problem}")
            else:  # too few to tell by; what is left without a clip then ends the run elsewhere
                settled += self._failed.pop(model)
        return settled

    def _settle(self, model: Any) -> list[Outcome]:
        problem = self._repeat(self._spoken[model])
        if problem is not None:
            raise UserError(f"{model[0]} no longer speaks what it spoke before: {problem}")
        return self._failed.pop(model)


def _model(rendition: Rendition) -> Any:
    """What voices share that fail together."""
    voice = rendition.voice
    return voice.engine, voice.options, voice.model
