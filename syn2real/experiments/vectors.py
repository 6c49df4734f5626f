"""What is in the vectors: how alike those of domains, voices and groups of speakers are, and how far each carries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from syn2real.experiments.grid import BlendOf, Condition, Grid
from syn2real.experiments.pipeline import Blend, Difference, Pipeline
from syn2real.experiments.protocol import Fold, Roles
from syn2real.experiments.systems import VECTORED, Workshop, only
from syn2real.merge import similarity
from syn2real.speech.corpus import Corpus
from syn2real.speech.scoring import ErrorCounts, Scores

PROXIES = 2  # domains that choose the λ of a vector carried to another domain, unless the recipe says how many
GROUPS = ("encoder", "decoder", "cross_attention", "embeddings")


@dataclass(frozen=True)
class Transferred:
    """A vector added to another target's model, with λ chosen on proxies, and the same model without it."""

    before: Scores
    after: Scores
    scale: float


def vectors_record(grid: Grid) -> dict[str, Any] | None:
    """Norms of the vectors and cosines between them, whole and by group, of the recipe's first condition; None in a dry
    run and where the recipe wants none."""
    wanted = grid.recipe.vectors
    if not wanted:
        return None
    workshop = grid.workshop(next(grid.conditions()))
    found: dict[str, Difference] = {}
    for kind in wanted:
        found |= _family(workshop, kind)
    if grid.workspace.dry or len(found) < 2:
        return None
    compared = similarity.compare({name: difference.vector() for name, difference in found.items()}, subspace=0)
    record = compared.as_json()
    groups = {name: measures["cosine"] for name, measures in record["groups"].items() if name in GROUPS}
    return {"names": record["names"], "cosine": record["cosine"], "norms": record["norms"], "groups": groups}


def transfer_record(grid: Grid) -> dict[str, Any] | None:
    """The transfer matrix: WER with the vector of a row on the target (or, with several sets of voices, on models made
    with the voices) of a column, and the share of errors it removes; None where the recipe wants none."""
    if not grid.recipe.transfer:
        return None
    if len(grid.recipe.engine_sets) > 1:
        return _between_voices(grid)
    return _between_domains(grid)


def sizes_record(grid: Grid) -> list[dict[str, Any]] | None:
    """Of each model the number of weights, and the norm of its vectors against that of the weights they are added to;
    None for a single model, where no system has made the vector of all sources, and in a dry run."""
    if grid.workspace.dry or len(grid.recipe.models) < 2 or VECTORED.isdisjoint(grid.recipe.systems):
        return None
    from syn2real.merge import Checkpoint

    rows = []
    for condition in _first_of_each_model(grid):
        workshop = grid.workshop(condition)
        sources = grid.roles.fold(grid.roles.targets[0], condition.sources).sources
        weights = Checkpoint.open(workshop.pipeline.base.directory)
        norm = workshop.vector(sources).vector().norm()
        size = (weights * 1.0).norm()
        rows.append({"model": condition.model, "parameters": weights.parameters, "norm": norm, "share": norm / size})
    return rows


def _family(workshop: Workshop, kind: str) -> dict[str, Difference]:
    """The vectors of one kind: one for each ``domain``, for each ``engine`` over all domains, tuned in full and by
    ``lora``, or one for each value of a field of the manifest, such as a group of speakers."""
    roles = workshop.roles
    domains = _domains(roles)
    if kind == "domain":
        return {f"domain {name}": workshop.vector([name]) for name in domains}
    if kind == "engine":
        voices = {name: only(workshop.synthesis, name) for name in workshop.synthesis.engines}
        return {f"engine {name}": workshop.spoken_by(voice).vector(domains) for name, voice in voices.items()}
    if kind == "lora":
        return {"full": workshop.vector(domains), "lora": workshop.by_adapters().vector(domains)}
    parts = split_by(roles.source(domains), kind)
    return {f"{kind} {name}": workshop.vector_on(part, f"{kind} {name}") for name, part in parts.items()}


def _domains(roles: Roles) -> list[str]:
    """Every domain that a vector can be made of."""
    return roles.trained(roles.recipe.sources.domains or roles.domains)


def split_by(corpus: Corpus, name: str) -> dict[str, Corpus]:
    """A corpus by the values of a field; utterances without it are left out."""
    values = {u.id: u.extra.get(name, getattr(u, name, None)) for u in corpus}
    found = sorted({str(value) for value in values.values() if value is not None})
    return {value: corpus.filter(lambda u, v=value: str(values[u.id]) == v) for value in found}  # type: ignore[misc]


# ---- transfer ----------------------------------------------------------------------------------------------------


def _between_domains(grid: Grid) -> dict[str, Any]:
    """One domain's vector on every other target."""
    workshop = grid.workshop(next(grid.conditions()))
    domains = _domains(grid.roles)

    def cell(row: str, column: str) -> list[Transferred]:
        if row == column:  # the vector would hold the target's own real speech
            return []
        difference = workshop.vector([row])
        # Any other domain may choose λ, for none of them is in this vector.
        others = [name for name in domains if name not in (row, column) and grid.roles.can_stand_in(name)]
        fold = Fold(column, (row,), tuple(others[: grid.recipe.scale.proxies or PROXIES]))
        blend_of: BlendOf = lambda target, sources: Blend(workshop.target(target, sources), difference)  # noqa: E731
        return [_transfer(grid, workshop.pipeline, fold, blend_of)]

    return _matrix(domains, list(grid.roles.targets), cell)


def _between_voices(grid: Grid) -> dict[str, Any]:
    """A vector made with one set of voices on target models made with another, over all targets."""
    conditions: dict[str, Condition] = {}  # the first seed and sources of each set of voices
    for condition in grid.conditions():
        if condition.model == grid.recipe.models[0]:
            conditions.setdefault(condition.engines, condition)
    workshops = {name: grid.workshop(condition) for name, condition in conditions.items()}

    def cell(row: str, column: str) -> list[Transferred]:
        made, used = workshops[row], workshops[column]
        folds = [grid.roles.fold(target, conditions[column].sources) for target in grid.roles.targets]
        blend_of: BlendOf = lambda target, sources: Blend(  # noqa: E731
            used.target(target, sources), made.vector(sources)
        )
        return [_transfer(grid, used.pipeline, fold, blend_of) for fold in folds]

    return _matrix(list(workshops), list(workshops), cell)


def _transfer(grid: Grid, pipeline: Pipeline, fold: Fold, blend_of: BlendOf) -> Transferred:
    choice = grid.choose(pipeline, fold, blend_of, grid.recipe.scale.grid, f"transfer from {', '.join(fold.sources)}")
    blend, test = blend_of(fold.target, fold.sources), grid.roles.test(fold.target)
    title = f"transfer to {fold.target}"
    before = grid.scores(pipeline, blend, 0.0, test, "short", title)
    after = grid.scores(pipeline, blend, choice.scale, test, "short", title)
    if before is None or after is None:  # a dry run
        nothing = Scores((), "")
        return Transferred(nothing, nothing, 0.0)
    return Transferred(before, after, choice.number or 0.0)


def _matrix(
    rows: Sequence[str], columns: Sequence[str], cell: Callable[[str, str], list[Transferred]]
) -> dict[str, Any]:
    found = {(row, column): cell(row, column) for row in rows for column in columns}
    return {
        "rows": list(rows),
        "columns": list(columns),
        "wer": [[_wer(found[row, column], "after") for column in columns] for row in rows],
        "relative": [[_relative(found[row, column]) for column in columns] for row in rows],
        "scales": [[[one.scale for one in found[row, column]] for column in columns] for row in rows],
    }


def _total(cells: Sequence[Transferred], side: str) -> ErrorCounts | None:
    totals = [getattr(one, side).total for one in cells]
    total = sum(totals[1:], totals[0]) if totals else None
    return total if total is not None and total.words else None


def _wer(cells: Sequence[Transferred], side: str) -> float | None:
    total = _total(cells, side)
    return None if total is None else total.rate


def _relative(cells: Sequence[Transferred]) -> float | None:
    before, after = _total(cells, "before"), _total(cells, "after")
    return None if before is None or after is None or not before.errors else 1 - after.errors / before.errors


def _first_of_each_model(grid: Grid) -> list[Condition]:
    found: dict[str, Condition] = {}
    for condition in grid.conditions():
        found.setdefault(condition.model, condition)
    return list(found.values())
