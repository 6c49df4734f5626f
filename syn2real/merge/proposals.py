"""What a search tries next: the points of a grid, or what Optuna's samplers propose.

A proposal depends on the seed, on its number and on the trials before it, and on nothing else: a search that was
stopped goes on as if it had not been.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Protocol

from syn2real.errors import NotInstalled, UserError
from syn2real.hashing import seed_from

Sampler = Literal["grid", "cmaes", "tpe"]


@dataclass(frozen=True)
class Span:
    """A number to search: a dotted key of the recipe, and what it may be."""

    key: str
    low: float
    high: float
    points: int = 5  # of a grid

    @classmethod
    def parse(cls, text: str) -> "Span":
        """``parameters.scale=0:1.5`` or, with the number of points of a grid, ``parameters.scale=0:1.5:7``."""
        key, equals, value = text.partition("=")
        parts = value.split(":")
        try:
            numbers = [float(part) for part in parts]
            if not equals or len(parts) not in (2, 3) or not all(map(math.isfinite, numbers)):
                raise ValueError
            points = int(parts[2]) if len(parts) == 3 else 5
        except ValueError as error:
            raise UserError(f"--range {text}: write KEY=LOW:HIGH, for instance parameters.scale=0:1.5") from error
        if not numbers[0] < numbers[1] or points < 2:
            raise UserError(f"--range {text}: LOW must be below HIGH, and a grid has 2 points at least")
        if not math.isfinite(numbers[1] - numbers[0]):
            raise UserError(f"--range {text}: LOW and HIGH are too far apart; narrow the range")
        return cls(key.strip(), numbers[0], numbers[1], points)

    @property
    def grid(self) -> list[float]:
        """Evenly spaced values from low to high."""
        inner = [self.low + (self.high - self.low) * (i / (self.points - 1)) for i in range(self.points - 1)]
        return [*inner, self.high]


@dataclass(frozen=True)
class Trial:
    """One merge that was scored; ``score`` is None when scoring failed."""

    number: int
    values: dict[str, float]
    score: float | None
    problem: str = ""


class Proposals(Protocol):
    """Values for one trial after the other."""

    def propose(self, number: int) -> dict[str, float]:
        """What the trial of this number is to try; those before it have been told."""
        ...

    def tell(self, trial: Trial) -> None:
        """How the trial went for which values were proposed last."""
        ...


class Grid:
    """Every combination of the spans' points; the last span's change fastest."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self.count = math.prod(len(span.grid) for span in spans)
        self._points = product(*(span.grid for span in spans))

    def propose(self, number: int) -> dict[str, float]:
        """See `Proposals.propose`."""
        return dict(zip((span.key for span in self._spans), next(self._points), strict=True))

    def tell(self, trial: Trial) -> None:
        """Nothing is learnt from it."""


class Sampled:
    """Proposals of Optuna's: CMA-ES, or trees of Parzen estimators. Raises `NotInstalled` without it."""

    def __init__(self, spans: Sequence[Span], sampler: Sampler, *, maximize: bool, seed: int) -> None:
        try:
            import optuna

            if sampler == "cmaes":
                import cmaes  # noqa: F401 (Optuna would look for it in the first trial)
        except ModuleNotFoundError as error:
            raise NotInstalled("Optuna" if error.name == "optuna" else str(error.name), "search") from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self._kind = optuna.samplers.CmaEsSampler if sampler == "cmaes" else optuna.samplers.TPESampler
        self._study = optuna.create_study(direction="maximize" if maximize else "minimize")
        self._bounds: dict[str, Any] = {
            span.key: optuna.distributions.FloatDistribution(span.low, span.high) for span in spans
        }
        self._seed = seed
        self._asked: Any = None

    def propose(self, number: int) -> dict[str, float]:
        """See `Proposals.propose`."""
        self._study.sampler = self._kind(seed=seed_from("search", self._seed, number) % 2**32)
        self._asked = self._study.ask(self._bounds)
        return dict(self._asked.params)

    def tell(self, trial: Trial) -> None:
        """See `Proposals.tell`. Other values, as another release of Optuna proposed them, are learnt from too."""
        state = self._optuna.trial.TrialState
        if trial.values == self._asked.params and trial.score is not None:
            self._study.tell(self._asked, trial.score)
            return
        self._study.tell(self._asked, state=state.FAIL)
        if trial.score is not None:
            made = self._optuna.trial.create_trial(
                params=dict(trial.values), distributions=self._bounds, value=trial.score, state=state.COMPLETE
            )
            self._study.add_trial(made)
