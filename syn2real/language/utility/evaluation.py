"""What marks come to: means with intervals, and models beside each other on the same questions."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import exp
from typing import Any

import numpy as np

from syn2real.errors import UserError
from syn2real.language.safety.rates import Share
from syn2real.language.utility.metric import Score
from syn2real.resampling import percentiles, resample, sign_flips

Scores = Mapping[str, Score]  # of a task, by the question's id
# Of settings and options, those that may differ: which questions and answers are drawn, and what lets programs run.
# The samples that were taken are told apart.
_INDIFFERENT = {"seed", "limit", "samples", "allow_code", "unconfined"}


def measures(scores: Sequence[Score], unit: str) -> dict[str, Any]:
    """The mean of each value of a task's scores, with a 95 % interval: Wilson's where every question is right or
    wrong, otherwise by bootstrap over questions. Of nats, the exponentials."""
    names = list(scores[0].values)
    weights = np.array([score.weight for score in scores])
    return {
        name: _mean(np.array([score.values[name] for score in scores], dtype=np.float64), weights, unit)
        for name in names
    }


def difference(a: Sequence[Score], b: Sequence[Score], name: str, unit: str) -> dict[str, Any]:
    """The first's mean of a value minus the second's on the same questions: a bootstrap interval, and a p-value by
    flipping the signs of the questions' differences. Of nats, the first's perplexity over the second's."""
    weights = np.array([score.weight for score in a])
    if not np.array_equal(weights, [score.weight for score in b]):
        raise UserError("the models cut the references into other tokens, so their perplexities cannot be compared")
    gaps = weights * np.array([x.values[name] - y.values[name] for x, y in zip(a, b, strict=True)])
    found: dict[str, Any] = {
        "difference": float(gaps.sum() / weights.sum()),
        "ci_low": None,
        "ci_high": None,
        "p": None,
    }
    if len(gaps) > 1:
        drawn = resample(np.stack([gaps, weights], axis=1))
        found["ci_low"], found["ci_high"] = percentiles(drawn[:, 0] / drawn[:, 1])
        found["p"] = float(sign_flips(gaps[:, None])[0])
    if unit == "nats":
        ratio, low, high = (None if (value := found.pop(key)) is None else exp(value) for key in list(found)[:3])
        return {"ratio": ratio, "ci_low": low, "ci_high": high, "p": found["p"]}
    return found


def comparison(models: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Scores]]]) -> dict[str, Any]:
    """Models by their records and scores, on each task that all were asked. Raises `UserError` when they were not asked
    the same, or marked otherwise."""
    if len(models) < 2:
        raise UserError("a comparison needs two models or more")
    first, *others = models
    shared = [name for name in models[first][1] if all(name in models[other][1] for other in others)]
    if not shared:
        raise UserError(f"{first} and {others[0]} have no task in common")
    tasks: dict[str, Any] = {}
    for task in shared:
        told = models[first][0]["tasks"][task]
        for other in others:
            _require_same(task, first, other, models)
        asked = list(models[first][1][task])
        ordered = {name: [scores[task][one] for one in asked] for name, (_, scores) in models.items()}
        headline, unit = told["headline"], told["unit"]
        tasks[task] = {
            **{key: told[key] for key in ("metric", "headline", "unit", "questions")},
            "models": {name: measures(scores, unit)[headline] for name, scores in ordered.items()},
            "pairs": [
                {"a": a, "b": b, **difference(ordered[a], ordered[b], headline, unit)}
                for a, b in combinations(models, 2)
            ],
        }
    return {"tasks": tasks}


def _require_same(
    task: str, a: str, b: str, models: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Scores]]]
) -> None:
    first, second = (models[name][0]["tasks"][task] for name in (a, b))
    for key in ("metric", "headline"):
        one, two = first[key], second[key]
        if one != two:
            raise UserError(f"{task}: {a} was marked by {one}, {b} by {two}; evaluate one of them again")
    if missing := set(models[a][1][task]) ^ set(models[b][1][task]):
        raise UserError(f"{task}: {a} and {b} were not asked the same: {len(missing)} questions only one of them")
    for what, one, two in _told(first, second):
        if one != two:
            raise UserError(f"{task}: {a} has {what} {one!r}, {b} {two!r}; evaluate one of them again as the other was")
    # Records of before it was noted say nothing of it.
    if len({one["questions_sha256"] for one in (first, second) if "questions_sha256" in one}) > 1:
        raise UserError(f"{task}: {a} and {b} were asked questions of the same ids with other texts, answers or tests")


def _told(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What else two records of a task say of how it was asked and marked; of what an older one leaves out, nothing."""
    for key, what in (("options", "the metric's option"), ("asked", "the setting")):
        one, two = first.get(key), second.get(key)
        if one is not None and two is not None:
            for name in sorted({*one, *two} - _INDIFFERENT):
                yield f"{what} {name}", one.get(name), two.get(name)
    yield "samples", first["samples"], second["samples"]


def _mean(values: np.ndarray, weights: np.ndarray, unit: str) -> dict[str, Any]:
    mean = float((values * weights).sum() / weights.sum())
    interval: tuple[float, float] | None = None
    if unit == "share" and np.isin(values, (0.0, 1.0)).all():
        interval = Share(round(mean * len(values)), len(values)).interval()
    elif len(values) > 1:
        drawn = resample(np.stack([values * weights, weights], axis=1))
        interval = percentiles(drawn[:, 0] / drawn[:, 1])
    low, high = interval or (None, None)
    if unit == "nats":
        mean, low, high = exp(mean), None if low is None else exp(low), None if high is None else exp(high)
    return {"value": mean, "ci_low": low, "ci_high": high}
