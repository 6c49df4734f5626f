"""Searching a recipe's numbers for the merge that scores best, by grid, CMA-ES or TPE; resumable."""

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, did_you_mean
from syn2real.lines import append_jsonl, appended_jsonl
from syn2real.merge.method import METHODS
from syn2real.merge.output import vocabularies, write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.proposals import Grid, Proposals, Sampled, Sampler, Span, Trial
from syn2real.merge.recipe import MergeRecipe, parse_recipe
from syn2real.merge.score import Score, name_of
from syn2real.sealing import Unwritable, require_absent, sole_writer, write_text

RECORD, TRIALS, TABLE, BEST = "search.json", "trials.jsonl", "trials.json", "model"


def search(
    recipe: MergeRecipe,
    spans: list[Span],
    score: Score,
    output: Path,
    *,
    sampler: Sampler = "tpe",
    trials: int = 20,
    maximize: bool = False,
    seed: int = 0,
    on_trial: Callable[[Trial, Trial | None], None] | None = None,
) -> list[Trial]:
    """Merge and score again and again; the best model ends in ``output/model``, the table in ``output/trials.json``.

    A search that was stopped is taken up by the same call and ends as if it had not been: finished trials are not
    repeated, and the one under way is. ``output`` may not hold anything else, nor a search with another recipe, other
    models, another score, seed or direction; of a score that is a function, its name is compared. A grid tries every
    combination, whatever ``trials``. ``on_trial`` is called with each new trial and the best so far.

    Raises `UserError` for keys that are not in the recipe or given twice, and when no trial could be scored, after
    which all are tried again; `Unwritable` for a full disk, and while another process searches for the same ``output``.
    """
    if trials < 1:
        raise UserError(f"search: {trials} trials find nothing; give 1 or more")
    if not spans:
        raise UserError("search: give at least one --range, for instance parameters.scale=0:1.5")
    first = with_values(recipe, {span.key: span.low for span in spans})
    _require_distinct(recipe, [span.key for span in spans])
    proposals: Proposals
    if sampler == "grid":
        proposals = grid = Grid(spans)
        trials = grid.count
    else:
        proposals = Sampled(spans, sampler, maximize=maximize, seed=seed)
    plan = plan_recipe(first)
    if not (output / RECORD).is_file():
        require_absent(output)
    output.mkdir(parents=True, exist_ok=True)
    identity = {
        "version": 2,
        "recipe": recipe.model_dump(mode="json"),
        "models": [source.sha256 for source in plan.inputs],
        "tokenizers": [] if recipe.vocabulary == "same" else vocabularies(plan),
        "spans": [asdict(span) for span in spans],
        "sampler": sampler,
        "score": name_of(score),
        "maximize": maximize,
        "seed": seed,
    }
    with sole_writer(output, output):
        _require_same_search(output, identity)
        found = [Trial(**row) for row in appended_jsonl(output / TRIALS)]
        if best_of(found, maximize) is None:  # whatever was in the way of all of them may be mended
            (output / TRIALS).unlink(missing_ok=True)
            found = []
        done, merged = len(found), output / ".trial"
        for number in range(max(trials, done)):
            values = dict(proposals.propose(number))
            if number >= done:
                found.append(_tried(number, recipe, values, score, merged))
                append_jsonl(output / TRIALS, [asdict(found[-1])])
                if on_trial is not None:
                    on_trial(found[-1], best_of(found, maximize))
            proposals.tell(found[number])
        best = best_of(found, maximize)
        write_text(output / TABLE, json.dumps([asdict(trial) for trial in found], indent=2) + "\n")
        if best is None:
            problem = found[-1].problem
            raise UserError(f"search: none of {len(found)} trials could be scored, mend it and start again: {problem}")
        write(plan_recipe(with_values(recipe, best.values)), output / BEST, overwrite=True)
        shutil.rmtree(merged, ignore_errors=True)
    return found


def _tried(number: int, recipe: MergeRecipe, values: dict[str, float], score: Score, merged: Path) -> Trial:
    """Merge with these values, and score that."""
    try:
        write(plan_recipe(with_values(recipe, values)), merged, overwrite=True)
        result = score(merged)
        if not math.isfinite(result):
            raise UserError(f"scored {result}, which is not a finite number")
    except Unwritable:
        raise
    except UserError as error:
        return Trial(number, values, None, str(error))
    return Trial(number, values, float(result))


def best_of(trials: Sequence[Trial], maximize: bool) -> Trial | None:
    """The first with the best score; None where none has one."""
    sign = -1 if maximize else 1
    scored = [(sign * trial.score, trial.number, trial) for trial in trials if trial.score is not None]
    return min(scored, default=(None, None, None))[2]


def with_values(recipe: MergeRecipe, values: Mapping[str, float]) -> MergeRecipe:
    """The recipe with numbers set at dotted keys, such as ``parameters.scale`` or ``models.0.weight``.

    A parameter of the method need not be written in the recipe. Raises `UserError` for any other key that is not.
    """
    content = recipe.model_dump(mode="json")
    known = METHODS.get(recipe.method).parameters if recipe.method is not None else ()
    for key, value in values.items():
        try:
            *above, (place, name) = _steps(content, key)
            own = known if above and above[-1][1] == "parameters" else ()
            if isinstance(place, dict) and name not in {*place, *own}:
                raise UserError(f"--range {key}: the recipe has no such key{did_you_mean(name, {*place, *own})}")
            place[name] = value
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise UserError(f"--range {key}: the recipe has no such key") from error
    return parse_recipe(**content)


def _steps(content: Any, key: str) -> list[tuple[Any, Any]]:
    """The way along a dotted key: each mapping or list with the entry that is taken, under the name it has once a
    recipe is read: ``scale`` for ``lambda``, and under ``parameters`` what is written beside a model."""
    steps: list[tuple[Any, Any]] = []
    place = content
    for name in key.split("."):
        if steps:
            place = place[steps[-1][1]]
        if isinstance(place, list):
            if not name.isdecimal():  # counted from the end an entry would have two names
                raise ValueError(name)
            steps.append((place, int(name)))
            continue
        if isinstance(place, dict) and name not in place and {"model", "parameters"} <= place.keys():
            steps.append((place, "parameters"))
            place = place["parameters"]
        steps.append((place, "scale" if name == "lambda" and name not in place else name))
    return steps


def _require_distinct(recipe: MergeRecipe, keys: Sequence[str]) -> None:
    """Raise `UserError` when two keys are one place of the recipe, perhaps under two names, or one is in the other."""
    content, known = recipe.model_dump(mode="json"), dict[str, str]()
    for key in keys:
        place = "".join(f"{name}." for _, name in _steps(content, key))
        for other in known:
            if place.startswith(other) or other.startswith(place):
                raise UserError(f"--range {key}: is given already, as {known[other]}; give it one range")
        known[place] = key


def _require_same_search(output: Path, identity: dict[str, Any]) -> None:
    """Raise `UserError` when ``output`` holds another search."""
    file = output / RECORD
    text = json.dumps(identity, indent=2, sort_keys=True) + "\n"
    if file.is_file() and (stored := file.read_text(encoding="utf-8")) != text:
        raise UserError(f"{output}: holds another search{_differing(stored, text)}; choose another --output")
    write_text(file, text)


def _differing(stored: str, text: str) -> str:
    """`` (with another score)``, of two searches' records."""
    try:
        before, now = json.loads(stored), json.loads(text)
        return f" (with another {', '.join(key for key in now if now[key] != before.get(key))})"
    except (ValueError, AttributeError):  # not one of ours
        return ""
