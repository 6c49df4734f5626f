"""An inspection in figures, by voice or by engine: what terminal, JSON and picture show."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, Literal

from syn2real.errors import UserError
from syn2real.speech.checking.hearing import engine_of, voice_of
from syn2real.speech.checking.inspection import Inspected, Inspection
from syn2real.speech.checking.limits import Limits
from syn2real.speech.corpus import Utterance
from syn2real.speech.scoring import ScoredUtterance, Scores

Grouping = Literal["engine", "voice"]
_NAMES: dict[Grouping, Callable[[Utterance], str]] = {"engine": engine_of, "voice": voice_of}


def summarise(inspection: Inspection, limits: Limits, by: Grouping = "voice", recogniser: str | None = None) -> Any:
    """A JSON object: the whole, a row for each voice (or engine), and every clip rejected or flagged, with reasons.

    ``cer`` sums errors over characters of clips that were heard, the rejected included; ``ci_low`` and ``ci_high`` are
    a 95 % bootstrap interval over clips, None where there are fewer than two.
    """
    name = _NAMES[by]
    groups: defaultdict[str, list[Inspected]] = defaultdict(list)
    for clip in inspection.clips:
        groups[name(clip.utterance)].append(clip)
    rows = [{by: group} | _row(clips, inspection.scores) for group, clips in sorted(groups.items())]
    return {
        "recogniser": recogniser,
        "normaliser": inspection.scores.normaliser if inspection.scores is not None else None,
        "limits": asdict(limits),
        "by": by,
        "all": _row(inspection.clips, inspection.scores),
        "groups": rows,
        "reasons": _reasons(inspection),
        "rejected": [clip.record() for clip in inspection.rejected],
        "flagged": [clip.record() for clip in inspection.flagged],
    }


def _row(clips: Sequence[Inspected], scores: Scores | None) -> dict[str, Any]:
    paces = [clip.pace for clip in clips if clip.pace is not None]
    return {
        "clips": len(clips),
        "minutes": round(sum(clip.utterance.duration for clip in clips) / 60, 1),
        "seconds_per_letter": round(median(paces), 4) if paces else None,
        **_rates(clips, scores),
        "rejected": sum(bool(clip.rejected) for clip in clips),
        "flagged": sum(bool(clip.flagged) and not clip.rejected for clip in clips),
    }


def _rates(clips: Iterable[Inspected], scores: Scores | None) -> dict[str, Any]:
    from syn2real.speech.statistics import bootstrap_interval

    ids = {clip.utterance.id for clip in clips}
    # Speakers left out, for a voice is one speaker: it is its clips that are drawn.
    found = [
        ScoredUtterance(scored.id, scored.counts, scored.reference, scored.hypothesis)
        for scored in scores or ()
        if scored.id in ids and scored.counts.words
    ]
    if scores is None or not found:
        return {"cer": None, "ci_low": None, "ci_high": None}
    part = Scores(tuple(found), scores.normaliser, scores.unit)
    try:
        interval = bootstrap_interval(part)
        return {"cer": part.rate, "ci_low": interval.low, "ci_high": interval.high}
    except UserError:  # one clip has a rate and no interval
        return {"cer": part.rate, "ci_low": None, "ci_high": None}


def _reasons(inspection: Inspection) -> dict[str, dict[str, int]]:
    """How many clips were rejected and flagged for each kind of finding."""
    return {
        "rejected": dict(Counter(finding.kind for clip in inspection.rejected for finding in clip.rejected)),
        "flagged": dict(Counter(finding.kind for clip in inspection.flagged for finding in clip.flagged)),
    }
