"""What a grid found, as the JSON object that reports read."""

import os
import platform
from collections.abc import Callable
from typing import Any

from syn2real.experiments.comparison import BASELINE, HEADLINE, Heard, compare
from syn2real.experiments.grid import CellReport, Chosen, Grid, Outcome, curve_record
from syn2real.experiments.grid_recipe import uninformed
from syn2real.experiments.licences import of_model, of_recordings, stated
from syn2real.experiments.pipeline import Clips
from syn2real.experiments.vectors import sizes_record, transfer_record, vectors_record
from syn2real.experiments.versions import versions
from syn2real.speech.corpus import Corpus, Utterance

# Systems that need none of the target's text spoken; that need no source; and that need none of its text spoken.
_UNSPOKEN = {"zero-shot", "target-real", "source-real", "source-synthetic", "source-mixed"}
_SOURCELESS = {"zero-shot", "target-real", "target-synthetic", "target-synthetic-augmented"}
_SOURCE_UNSPOKEN = _SOURCELESS | {"source-real", "average"}


def grid_record(grid: Grid, outcome: Outcome) -> dict[str, Any]:
    """Everything of a grid that was run: comparison, choices of λ, vectors, data and how to make it again.

    An analysis that fails is noted among the cells, and costs nothing else.
    """
    recipe = grid.recipe
    analyses = {
        "vectors": _attempt(vectors_record, "vectors", grid, outcome),
        "transfer": _attempt(transfer_record, "transfer", grid, outcome),
        "sizes": _attempt(sizes_record, "sizes", grid, outcome),
    }
    return {
        "study": recipe.study,
        "title": recipe.title,
        "note": recipe.note,
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        "versions": versions(),
        "environment": environment(),
        "leaks": recipe.leaks,
        "data": _data(grid, outcome),
        "cells": [vars(cell) for cell in outcome.cells],
        "comparison": compare(
            outcome.heard, repeated="seed" if recipe.sources.draws == 1 else "draw", evaluation=recipe.evaluation
        ),
        "lambdas": [_choice(chosen) for chosen in outcome.chosen],
        **analyses,
        "utterances": _utterances(grid, outcome.heard),
    }


def environment() -> dict[str, Any]:
    """The machine, as far as it matters to the figures."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "platform": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
    }


def _attempt(make: Callable[[Grid], Any], name: str, grid: Grid, outcome: Outcome) -> Any:
    """An analysis, or None and a note where it fails: what every cell has heard must not be lost with it."""
    try:
        return make(grid)
    except Exception as error:
        first = next(grid.conditions())
        report = CellReport(f"analysis: {name}", first.model, first.label, first.repetition)
        report.fail(error)
        outcome.cells.append(report)
        return None


def _data(grid: Grid, outcome: Outcome) -> dict[str, Any]:
    """What went into the systems that were heard, whatever else failed."""
    roles = grid.roles
    heard = {_cell(one): set[str]() for one in outcome.heard}
    for one in outcome.heard:
        heard[_cell(one)].add(uninformed(one.system))
    sources: dict[tuple[str | None, str], Utterance] = {}
    speech: dict[str, Clips] = {}
    workshops = {(c.model, c.label, c.repetition): grid.workshop(c) for c in grid.conditions()}
    for cell in outcome.cells:
        systems = heard.get(_cell(cell), set())
        workshop = workshops[cell.model, cell.engines, cell.seed]
        if systems - _SOURCELESS:
            sources |= {(u.domain, u.id): u for u in roles.source(cell.sources)}
        if systems - _UNSPOKEN:
            target = workshop.target_speech(cell.target)
            speech[target.key] = target
        if systems - _SOURCE_UNSPOKEN:
            speech |= {clips.key: clips for clips in workshop.source_speech(roles.source(cell.sources))}
    spoken = {(u.engine, u.voice, u.licence) for clips in speech.values() for u in clips.load()}
    source = Corpus.of(sources.values())
    tests = {name: roles.test(name) for name in dict.fromkeys(one.target for one in outcome.heard)}
    return {
        "targets": {
            name: {
                "test_clips": len(test),
                "test_seconds": round(test.duration, 1),
                "test_speakers": len(test.speakers),
                "target_sentences": len(roles.text(name)),
                "removed_duplicates": roles.removed(name),
                "kept_duplicates": roles.tested(name),
            }
            for name, test in tests.items()
        },
        "source_clips": len(source),
        "source_seconds": round(source.duration, 1),
        "source_speakers": len(source.speakers),
        "speakers_in_training_and_test": len(
            source.speakers & set().union(*(test.speakers for test in tests.values()))
        ),
        "rejected": sum(clips.rejected() for clips in speech.values()),
        "voices": sorted({f"{engine}:{voice}" for engine, voice, _ in spoken}),
        "licences": [
            *map(of_model, grid.recipe.models),
            *sorted({f"{engine}: {stated(licence)}" for engine, _, licence in spoken}),
        ],
        "recordings_licences": sorted({name for corpus in (source, *tests.values()) for name in of_recordings(corpus)}),
    }


def _cell(one: Heard | CellReport) -> tuple[str, str, str, int]:
    return one.target, one.model, one.engines, one.seed


def _choice(chosen: Chosen) -> dict[str, Any]:
    choice = chosen.choice
    return {
        "model": chosen.condition.model,
        "engines": chosen.condition.label,
        "seed": chosen.condition.repetition,
        "target": chosen.target,
        "system": chosen.system,
        "chosen": choice.number,
        "groups": dict(choice.scale) if not isinstance(choice.scale, int | float) else None,
        "sum": choice.way,
        "by": choice.by,
        "names": list(choice.names),
        "curve": curve_record(choice.curve),
        "target_curve": curve_record(chosen.target_curve),
        "oracle": chosen.oracle,
    }


def _utterances(grid: Grid, heard: list[Heard]) -> list[dict[str, Any]]:
    """Every test recording with what the baseline and SYN2REAL heard, of the first condition."""
    first = next(grid.conditions())
    window = grid.workshop(first).pipeline.window
    wanted = [
        one
        for one in heard
        if one.system in (BASELINE, HEADLINE)
        and (one.model, one.engines, one.seed, one.window) == (first.model, first.label, first.repetition, window)
    ]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in wanted:
        audio = {u.id: str(u.audio_filepath) for u in grid.roles.test(one.target)}
        for u in one.scores:
            row = rows.setdefault(
                (one.target, u.id),
                {
                    "id": u.id,
                    "target": one.target,
                    "audio": audio[u.id],
                    "reference": u.reference,
                    "words": u.counts.words,
                    "hypotheses": {},
                    "errors": {},
                },
            )
            row["hypotheses"][one.system] = u.hypothesis
            row["errors"][one.system] = u.counts.errors
    return list(rows.values())
