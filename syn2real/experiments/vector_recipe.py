"""The recipe of a vector to be published."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from syn2real.documents import Strict
from syn2real.experiments.recipe import CorpusRecipe, SourceRecipe, load_source


class NamedCorpus(CorpusRecipe):
    """The real recordings, as the card will name them."""

    name: str
    licence: str | None = None  # of recordings whose lines do not state one


class StorageRecipe(Strict):
    """How the vector is stored; see `syn2real vector compress`."""

    method: Literal["none", "int8", "sparse", "lowrank"] = "none"
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    density: Annotated[float, Field(gt=0, le=1)] = 0.1  # of `sparse`
    rank: Annotated[int, Field(ge=1)] = 16  # of `lowrank`


class VectorRecipe(SourceRecipe):
    """A vector from all source domains, with a recommended λ; its worth is measured on ``target``, where named."""

    study: Literal["vector"]
    name: Annotated[str, Field(pattern=r"^[\w][\w.-]*$")]
    title: str = ""
    corpus: NamedCorpus
    model_licence: str | None = None  # where the model does not state it itself
    storage: StorageRecipe = StorageRecipe()


def load_vector_recipe(path: Path, overrides: dict[str, Any] | None = None) -> VectorRecipe:
    """Read the recipe of a vector; relative paths in it are relative to the recipe. Raises `UserError` with file and
    line."""
    return load_source(path, VectorRecipe, overrides)
