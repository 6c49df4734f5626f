"""Merges of merges: a file with several recipes, of which one takes another's result for a model.

    name: both-experts
    method: slerp
    base: code
    models: [math]
    ---
    method: ties
    base: pretrained
    models: [{model: both-experts, density: 0.6}, {model: chat, density: 0.8}]

The recipes may stand in any order and in either dialect. The one without a name is the result; where all have names,
the last.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from syn2real.documents import Document
from syn2real.errors import UserError
from syn2real.merge.output import RECORD, record, write
from syn2real.merge.plan import Plan, plan_recipe
from syn2real.merge.recipe import MergeRecipe, beside_file, read_recipe
from syn2real.merge.references import JOINT

_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Chain:
    """Recipes that name each other's results. ``stages`` are made before the ``result``, each after those it uses."""

    stages: Mapping[str, MergeRecipe]
    result: MergeRecipe

    def uses(self, recipe: MergeRecipe) -> list[str]:
        """The stages that a recipe takes for models."""
        return list(dict.fromkeys(name for _, name in _named(recipe, self.stages)))

    def placed(self, recipe: MergeRecipe, folder: Path) -> MergeRecipe:
        """A recipe with the paths of the stages' results, which lie in ``folder``. They may be wider than others."""
        places = {path: str(folder / path) for path, _ in _named(recipe, self.stages)}
        return recipe.with_paths(places).model_copy(update={"allow_dtypes": True}) if places else recipe


def load_chain(path: Path, overrides: Mapping[str, str] | None = None) -> Chain:
    """Read all recipes of a file. ``overrides`` are the result's; those that begin with a stage's name are the stage's
    (``both-experts.parameters.t``).

    Raises `UserError` with file and line: as `load_recipe` does, for a name that is none or given twice, for two
    recipes without one, and for recipes that wait for each other.
    """
    documents = dict(_by_name(Document.load_all(path)))
    result = documents.pop(None, None) or documents.pop(list(documents)[-1])
    kept: dict[str, str] = {}
    for key, value in (overrides or {}).items():
        stage = next((name for name in documents if name and key.startswith(f"{name}.")), None)
        if stage is None:
            kept[key] = value
        else:
            documents[stage] = documents[stage].overriding({key.removeprefix(f"{stage}."): value})
    names = [name for name in documents if name]
    recipes = {name: beside_file(read_recipe(documents[name]), path, but=names) for name in names}
    last = beside_file(read_recipe(result.overriding(kept)), path, but=names)
    waiting = {name: {other for _, other in _named(recipe, names)} for name, recipe in recipes.items()}
    try:
        order = list(TopologicalSorter(waiting).static_order())
    except CycleError as error:
        raise UserError(f"{path}: these merges wait for each other: {', '.join(error.args[1])}") from error
    return Chain({name: recipes[name] for name in order}, last)


def make_stages(
    chain: Chain,
    folder: Path,
    *,
    device: str = "cpu",
    writing: Callable[..., Any] = write,
) -> None:
    """Write the result of every stage to its own directory in ``folder``, but for those that are there already, made of
    the same inputs by the same recipe. ``writing`` is called as `write` is, with ``overwrite``.

    Raises `UserError` as `write` does, and for a directory in the way that no merge has made.
    """
    for name, recipe in chain.stages.items():
        plan, output = plan_recipe(chain.placed(recipe, folder), device=device), folder / name
        if not _made(plan, output):
            writing(plan, output, overwrite=(output / RECORD).is_file())


def _by_name(documents: list[Document]) -> Iterator[tuple[str | None, Document]]:
    """Each recipe's name, None for one that has none, and the rest of it."""
    seen: set[str | None] = set()
    for document in documents:
        name = document.content.get("name")
        if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise document.error(
                ["name"], f"name: {name!r} is none for a folder; use letters, digits, '-', '.' and '_'"
            )
        if name in seen:
            problem = (
                f"name: {name!r} is another merge's" if name else "a second merge without a name; name all but one"
            )
            raise document.error(["name"] if name else list(document.content)[:1], problem)
        seen.add(name)
        yield name, document.without("name")


def _named(recipe: MergeRecipe, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """The paths in a recipe that begin with a stage, which an adapter may follow, and the stage."""
    for path in [*recipe.paths, *recipe.folders]:
        first = path.split(JOINT)[0]
        if first in names:
            yield path, first


def _made(plan: Plan, output: Path) -> bool:
    """Whether a merge has been written just so before."""
    if plan.problems or not (output / RECORD).is_file():
        return False
    try:
        return bool(json.loads((output / RECORD).read_text(encoding="utf-8")) == record(plan, output))
    except ValueError:
        return False
