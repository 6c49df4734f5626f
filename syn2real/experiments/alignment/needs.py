"""What a study needs: what is not here, files that are missing and models that would be fetched; and what is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syn2real.experiments.alignment.material import Material
from syn2real.experiments.alignment.recipe import AlignmentRecipe, MergeAlignRecipe, missing_files
from syn2real.language.bias.scorers import require_scorer
from syn2real.language.chat.choice import is_server
from syn2real.language.chat.weights import PACKAGES, located
from syn2real.language.safety.guard import GUARDS
from syn2real.language.safety.judge import JUDGES, require_judge
from syn2real.language.utility.bertscore import BertScore
from syn2real.language.utility.metric import require_references

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
_BYTES = 2  # of a parameter, as models are commonly stored


def parameters_by_name(name: str) -> float | None:
    """How many parameters a model has, where its name says so.

    >>> parameters_by_name("meta-llama/Meta-Llama-3-8B-Instruct")
    8000000000.0
    """
    found = _SIZE.search(name.rsplit("/", 1)[-1])
    return float(found[1]) * {"b": 1e9, "m": 1e6}[found[2].lower()] if found else None


def judge_model(recipe: AlignmentRecipe) -> str | None:
    """The model that judges, if one does."""
    safety = recipe.safety
    given = safety.judge_options.get("model")
    if given is not None:
        return str(given)
    return GUARDS[safety.judge].model if safety.judge in GUARDS else None


def needs(recipe: AlignmentRecipe) -> list[dict[str, Any]]:
    """Files and models as JSON: what each is, and a model's size in bytes where its name tells it. Nothing is fetched,
    and no one is asked."""
    files = [{"what": str(path), "kind": "file", "bytes": None} for path in missing_files(recipe)]
    models = []
    for name in dict.fromkeys(_models(recipe)):
        if not _here(name):
            size = parameters_by_name(name)
            models.append({"what": name, "kind": "model", "bytes": None if size is None else round(size * _BYTES)})
    return files + models


def require(recipe: AlignmentRecipe, material: Material, *, look: bool = False) -> None:
    """Raise `UserError` for a judge, a metric or a scorer that would fail hours later: one that there is not, one that
    lacks what it needs, questions that cannot be marked. To ``look``, as a dry run does, loads no model and passes over
    files that are not there."""
    safety, task = recipe.safety, recipe.task
    if missing_files(safety.judge_options):
        JUDGES.get(safety.judge)
    else:
        require_judge(safety.judge, **safety.judge_options)
    if recipe.bias is not None:
        require_scorer(recipe.bias.scorer, recipe.bias.scorer_options)
    if (task.asked or task.examples).exists():
        metric = task.marking()
        questions = [question.asked for part in (material.validation, material.test) for question in part.questions]
        if look and isinstance(metric, BertScore):  # which loads its model to be sure
            require_references(questions, metric.name)
        else:
            metric.require(questions)


def _here(name: str) -> bool:
    # The oldest models of the hub have a name without an organisation; the packaged ones are installed.
    if name in PACKAGES or ("/" not in name and not Path(name).exists()):
        return name in PACKAGES
    return located(name, look=True)[0].exists()


def _models(recipe: AlignmentRecipe) -> Iterator[str]:
    yield recipe.model
    if isinstance(recipe, MergeAlignRecipe):
        yield from (name for name in (recipe.aligned, recipe.expert) if name is not None)
    if recipe.template is not None:
        yield recipe.template
    judge = judge_model(recipe)
    if judge is not None and not is_server(judge):
        yield judge
    metric = recipe.task.marking()
    if isinstance(metric, BertScore):
        yield metric.model
    if recipe.bias is not None and (scorer := recipe.bias.scorer_options.get("model")):
        yield str(scorer)
