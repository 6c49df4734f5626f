"""What a study found: measured systems, the λ curves and the data they rest on, as `results.json`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from syn2real.experiments.recipe import ScoringRecipe, StudyRecipe, Sum
from syn2real.experiments.versions import versions
from syn2real.speech.scoring import Pair, Scores, score
from syn2real.speech.statistics import bootstrap_interval, paired_flips, paired_test


@dataclass(frozen=True)
class SystemResult:
    """One system on the target's real recordings, in one window."""

    name: str
    window: str  # "short": cut to the longest clip of the batch; "full": padded to 30 s; "whole": the model has none
    scale: float | None  # λ, of the adapted model
    wer: float
    ci_low: float
    ci_high: float
    ci_level: float
    ci_unit: str  # what was resampled: speaker or utterance
    ci_units: int
    counts: dict[str, int]  # hits, substitutions, deletions, insertions, empty_insertions, utterances
    cer: float
    wer_unnormalised: float
    normaliser: str
    difference: float | None  # WER minus that of target-synthetic in the same window
    relative: float | None  # share of target-synthetic's errors removed
    relative_low: float | None
    relative_high: float | None
    p: float | None  # two-sided paired bootstrap against target-synthetic in the same window
    flip_p: float | None  # the same by flipping signs, which of few speakers is the one to trust


@dataclass(frozen=True)
class CurvePoint:
    """Errors at one λ."""

    scale: float
    errors: int
    words: int

    @property
    def wer(self) -> float:
        """Errors per reference word."""
        return self.errors / self.words

    @classmethod
    def total(cls, points: Iterable["CurvePoint"]) -> "CurvePoint":
        """The summed errors of several corpora at the same λ."""
        rows = list(points)
        return cls(rows[0].scale, sum(p.errors for p in rows), sum(p.words for p in rows))


def best_scale(curve: Iterable[CurvePoint]) -> float:
    """The λ of the fewest errors; of several, the smallest."""
    return min(curve, key=lambda point: (point.errors, abs(point.scale))).scale


def likely_scale(curve: Sequence[CurvePoint]) -> float:
    """The λ tried at which the parabola that fits the errors best is lowest; of several, the smallest.

    A proxy has few clips, so that a word more or less decides between neighbours, while what λ truly does is smooth. On
    simulated curves of 40 to 400 errors, the fewest cost 2.3 % more errors than the best λ, the parabola 0.8 %
    (`python -m benchmarks.choosing_scale`). Of fewer than four points, all of which a parabola would meet, the fewest
    errors decide.
    """
    if len(curve) < 4:
        return best_scale(curve)
    scales = np.array([point.scale for point in curve], dtype=np.float64)
    fitted = np.polyval(np.polyfit(scales, [point.errors for point in curve], 2), scales).round(6)
    return min(zip(curve, fitted, strict=True), key=lambda pair: (pair[1], abs(pair[0].scale)))[0].scale


def at_end(system: str, scale: float, curve: Sequence[CurvePoint], key: str) -> str:
    """What to say of a λ that is the largest tried, which a larger one might pass; else nothing. ``key`` is where the
    recipe has those to try."""
    if scale < max(p.scale for p in curve) or (system == "average" and scale == 1):
        return ""
    return f"; it is the largest tried: widen `{key}`"


@dataclass(frozen=True)
class SourceData:
    """How much real speech made a vector."""

    source_clips: int
    source_seconds: float
    source_domains: list[str]
    source_speakers: int
    source_licences: list[str]
    source_voice_licences: list[str] = field(default_factory=list)  # where it was made elsewhere


@dataclass(frozen=True)
class StudyData:
    """How much of what went in."""

    source_clips: int
    source_seconds: float
    source_domains: list[str]
    source_speakers: int
    target_sentences: int
    test_clips: int
    test_seconds: float
    test_speakers: int
    test_sentences_in_text: int  # target sentences whose recording is also tested: a known phrase list
    voices: list[str]
    licences: list[str]
    recordings_licences: list[str]
    rejected: int = 0  # renditions of source and target text that no voice could speak


@dataclass(frozen=True)
class Results:
    """Everything a report needs: how the model was made and, where it was evaluated, how good it is."""

    recipe: StudyRecipe
    chosen: float
    way: Sum  # which sum of the three models it is the λ of
    proxies: list[str]
    proxy_curves: Mapping[Sum, list[CurvePoint]]  # of every sum that was tried
    data: StudyData
    systems: list[SystemResult] = field(default_factory=list)
    curve: list[CurvePoint] = field(default_factory=list)  # on the test
    strict: list[SystemResult] | None = None
    utterances: list[dict[str, Any]] = field(default_factory=list)
    vector: dict[str, Any] | None = None  # the published vector that was added, where it was not made here

    @property
    def oracle(self) -> float | None:
        """The best λ on the test recordings themselves: what no one may choose, shown for comparison."""
        return best_scale(self.curve) if self.curve else None

    def record(self) -> dict[str, Any]:
        """These results as a JSON object."""
        return {
            "study": self.recipe.study,
            "title": self.recipe.title,
            "note": self.recipe.note,
            "systems": [asdict(system) for system in self.systems],
            "strict": [asdict(system) for system in self.strict] if self.strict is not None else None,
            "lambda": {
                "chosen": self.chosen,
                "sum": self.way,
                "chosen_by": self.proxies,
                "oracle": self.oracle,
                "proxy_curve": _points(self.proxy_curves.get(self.way, [])),
                "other_sums": {way: _points(curve) for way, curve in self.proxy_curves.items() if way != self.way},
                "curve": _points(self.curve),
            },
            "data": asdict(self.data),
            "vector": self.vector,
            "utterances": self.utterances,
            "recipe": self.recipe.model_dump(mode="json"),
            "versions": versions(),
        }


def _points(curve: Iterable[CurvePoint]) -> list[dict[str, Any]]:
    return [asdict(point) | {"wer": point.wer} for point in curve]


def measure(
    name: str,
    window: str,
    scores: Scores,
    *,
    baseline: Scores | None,
    scale: float | None,
    evaluation: ScoringRecipe,
) -> SystemResult:
    """A system's WER with interval, CER, un-normalised WER, and the paired tests against ``baseline``."""
    interval = bootstrap_interval(scores, evaluation.level, evaluation.draws)
    test = paired_test(scores, baseline, evaluation.level, evaluation.draws) if baseline is not None else None
    pairs = [Pair(u.id, u.reference, u.hypothesis, u.speaker, u.domain) for u in scores]
    return SystemResult(
        name=name,
        window=window,
        scale=scale,
        wer=scores.rate,
        ci_low=interval.low,
        ci_high=interval.high,
        ci_level=interval.level,
        ci_unit=interval.unit,
        ci_units=interval.units,
        counts=asdict(scores.total),
        cer=score(pairs, evaluation.normaliser, "character").rate,
        wer_unnormalised=score(pairs, "none").rate,
        normaliser=scores.normaliser,
        difference=test.difference if test else None,
        relative=test.relative if test else None,
        relative_low=test.relative_low if test else None,
        relative_high=test.relative_high if test else None,
        p=test.p if test else None,
        flip_p=paired_flips(scores, baseline) if baseline is not None else None,
    )
