"""Choosing λ: on domains that play the target, on source recordings, or as given; with the sum it is of; by groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from syn2real.experiments.pipeline import Scale
from syn2real.experiments.recipe import SUMS, Sum
from syn2real.experiments.results import CurvePoint, likely_scale
from syn2real.experiments.sums import likely_sum
from syn2real.speech.scoring import Scores
from syn2real.speech.statistics import resampled_unit, unit_of

Errors = Callable[[Scale], tuple[int, int]]  # errors and reference words at a λ


@dataclass(frozen=True)
class Choice:
    """A λ, and what chose it."""

    scale: Scale
    by: str  # proxies, source-dev or fixed
    names: tuple[str, ...]  # the domains it was chosen on
    curve: tuple[CurvePoint, ...]
    way: Sum | None = None  # which sum it is the λ of, where that was chosen with it

    @property
    def number(self) -> float | None:
        """λ where it is one number."""
        return None if isinstance(self.scale, Mapping) else float(self.scale)


def curve_of(errors: Errors, grid: Sequence[float]) -> tuple[CurvePoint, ...]:
    """Errors at every λ of the grid."""
    return tuple(CurvePoint(scale, *errors(scale)) for scale in grid)


def choose(errors: Errors, grid: Sequence[float], by: str, names: Sequence[str]) -> Choice:
    """The λ of the grid with the fewest errors to be expected; see `likely_scale`."""
    curve = curve_of(errors, grid)
    return Choice(likely_scale(curve), by, tuple(names), curve)


def by_others(heard: Mapping[float, Scores]) -> Scores | None:
    """What labelled recordings of the target would make of λ, from scores on it at every λ of the grid: each speaker's
    at the λ that all others' choose, as `choose` does; each utterance's, where no two speakers are known. None of fewer
    than two. Unlike the best λ of all, it owes nothing to luck.
    """
    if not heard:
        return None
    scales = list(heard)
    first = heard[scales[0]]
    unit = resampled_unit(first)
    errors: dict[str, np.ndarray] = {}  # of each speaker, at every λ
    for utterances in zip(*heard.values(), strict=True):
        counts = np.array([utterance.counts.errors for utterance in utterances])
        name = unit_of(utterances[0], unit)
        errors[name] = errors.get(name, 0) + counts
    if len(errors) < 2:
        return None
    total, words = sum(errors.values()), first.total.words

    def chosen(name: str) -> float:
        points = zip(scales, total - errors[name], strict=True)
        return likely_scale([CurvePoint(scale, int(count), words) for scale, count in points])

    at = {name: heard[chosen(name)] for name in errors}
    picked = (at[unit_of(one, unit)].utterances[place] for place, one in enumerate(first))
    return Scores(tuple(picked), first.normaliser, first.unit)


def choose_sum(
    errors_of: Callable[[Sum], Errors], grid_of: Callable[[Sum], Sequence[float]], by: str, names: Sequence[str]
) -> Choice:
    """The sum and its λ with the fewest errors to be expected; see `likely_sum`."""
    curves = {way: curve_of(errors_of(way), grid_of(way)) for way in SUMS}
    way, scale = likely_sum(curves)
    return Choice(scale, by, tuple(names), curves[way], way)


def choose_groups(errors: Errors, start: Choice, groups: Sequence[str], factors: Sequence[float]) -> Choice:
    """A λ for each group of tensors: from one λ for all, each group in turn is given the factor of it that leaves the
    fewest errors, the others as found so far. A change must pay: among equals the group keeps what it has."""
    whole = start.number
    if not whole:
        return start
    scale: dict[str, float] = dict.fromkeys([*groups, "other"], whole)
    least = errors(whole)[0]
    for group in scale:
        for factor in factors:
            tried = {**scale, group: whole * factor}
            found = errors(tried)[0]
            if found < least:
                least, scale = found, tried
    return Choice(scale, start.by, start.names, start.curve)
