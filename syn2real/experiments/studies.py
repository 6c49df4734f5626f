"""Recipes of every kind, read by the ``study`` that they name. What one kind needs is imported for that kind alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from syn2real.documents import Document
from syn2real.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from syn2real.experiments.alignment.recipe import MergeAlignRecipe, SafeguardRecipe
    from syn2real.experiments.bias.recipe import BiasRecipe
    from syn2real.experiments.grid_recipe import GridRecipe
    from syn2real.experiments.recipe import Recipe
    from syn2real.experiments.vector_recipe import VectorRecipe

KINDS = ("syn2real", "grid", "vector", "safeguard", "mergealign", "bias")


def load_study(
    path: Path, overrides: dict[str, Any] | None = None, *, quick: bool = False, absent: bool = False
) -> "Recipe | GridRecipe | VectorRecipe | SafeguardRecipe | MergeAlignRecipe | BiasRecipe":
    """Read a recipe of any kind, by its ``study``; ``quick`` with its own small settings, where it has some. Files that
    a study of language models names may be ``absent``, as for a dry run. Raises `UserError` with file and line."""
    document = Document.load(path, overrides)
    study = document.content.get("study")
    if study not in (None, *KINDS):
        raise document.error(["study"], f"study: no kind {study!r}{did_you_mean(str(study), KINDS)}")
    if study in ("safeguard", "mergealign"):
        from syn2real.experiments.alignment.recipe import load_alignment

        return load_alignment(document, quick=quick, absent=absent)
    if study == "bias":
        from syn2real.experiments.bias.recipe import load_bias

        return load_bias(document, quick=quick)
    if quick:
        raise UserError(f"{path}: has no quick settings; leave --quick out")
    match study:
        case "grid":
            from syn2real.experiments.grid_recipe import load_grid

            return load_grid(path, overrides)
        case "vector":
            from syn2real.experiments.vector_recipe import load_vector_recipe

            return load_vector_recipe(path, overrides)
        case _:
            from syn2real.experiments.recipe import load_recipe

            try:
                return load_recipe(path, overrides)
            except UserError as error:
                if study is None:
                    kinds = ", ".join(kind for kind in KINDS if kind != "syn2real")
                    raise UserError(f"{error}; read as `study: syn2real`, for it says no other: {kinds}") from error
                raise
