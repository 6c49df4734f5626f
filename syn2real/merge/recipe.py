"""What to merge, as a YAML file or Python values, validated before any weight is read.

    expression: T + scale * (R - S)          # or: method: ties, base: …, models: [{model: …, weight: …}, …]
    models: {T: tuned-menu, R: tuned-real, S: tuned-synthetic}
    parameters: {scale: {encoder: 0.7, "*": 1.0}}

``lambda`` is another name for ``scale``, in parameters and expressions alike.

Paths are relative to the recipe's file. mergekit's own recipes are read as well: see `syn2real.merge.mergekit_dialect`.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from syn2real.documents import Document, parse_values
from syn2real.merge import references
from syn2real.merge.token_rules import TokenRule

NO_TEMPLATE = "none"

DType = Literal["float32", "float16", "bfloat16"]


def _numbers(content: Any, key: str) -> Iterator[tuple[str, float]]:
    """Every floating-point number in a recipe, with its dotted key."""
    if isinstance(content, float):
        yield key, content
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in entries:
        yield from _numbers(value, f"{key}.{name}" if key else str(name))


def _own(entry: Mapping[str, Any], *others: str) -> Any:
    """A model's own parameters, written beside it or under ``parameters``."""
    given = entry.get("parameters") or {}
    if not isinstance(given, Mapping):
        raise ValueError("parameters: write names and values, for instance {weight: 1}")
    beside = {key: item for key, item in entry.items() if key not in ("model", "parameters", *others)}
    return _scaled({**given, **beside})


def _scaled(parameters: Any) -> Any:
    """Parameters with ``scale`` for ``lambda``."""
    if not isinstance(parameters, Mapping) or "lambda" not in parameters:
        return {} if parameters is None else parameters
    if "scale" in parameters:
        raise ValueError("lambda and scale are the same parameter; write one of them")
    return {"scale" if name == "lambda" else name: value for name, value in parameters.items()}


Parameters = Annotated[dict[str, Any], BeforeValidator(_scaled)]


class ModelEntry(BaseModel):
    """A model and its own parameters, such as ``weight``."""

    model_config = ConfigDict(extra="forbid")
    model: str
    parameters: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        """``{model: a, weight: 1}`` and ``{model: a, parameters: {weight: 1}}`` mean the same; so does ``a``."""
        if isinstance(value, str):
            return {"model": value}
        if isinstance(value, Mapping) and "model" in value:
            return {"model": value["model"], "parameters": _own(value)}
        return value


class SliceSource(ModelEntry):
    """Layers ``layer_range[0]`` up to, but without, ``layer_range[1]`` of a model."""

    layer_range: tuple[int, int]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "model" in value:
            rest = {"parameters": _own(value, "layer_range")}
            return {"model": value["model"], **rest} | {k: value[k] for k in ("layer_range",) if k in value}
        return value

    @model_validator(mode="after")
    def _order(self) -> "SliceSource":
        if not 0 <= self.layer_range[0] < self.layer_range[1]:
            raise ValueError("layer_range: write [first, one past the last], for instance [0, 12]")
        return self


class Slice(BaseModel):
    """Layers of the result: made of equally many layers of each source. ``base`` is this slice's own."""

    model_config = ConfigDict(extra="forbid")
    sources: list[SliceSource] = Field(min_length=1)
    base: str | None = None
    parameters: Parameters = {}

    @model_validator(mode="after")
    def _lengths(self) -> "Slice":
        if len({last - first for first, last in (source.layer_range for source in self.sources)}) > 1:
            raise ValueError("sources: all must take equally many layers")
        return self


class MergeRecipe(BaseModel):
    """A merge. Either ``expression`` with named models, or ``method`` with a list of them or with ``slices``."""

    model_config = ConfigDict(extra="forbid")
    expression: str | None = None
    method: str | None = None
    models: dict[str, str] | list[ModelEntry] = []
    base: str | None = None
    anchor: str | None = None  # whose names, other tensors, configuration and tokenizer the result takes
    # A directory for configuration and tokenizer, where the anchor has none; NO_TEMPLATE: the weights alone.
    template: str | None = None
    slices: list[Slice] | None = None
    stack: str | None = None  # which layers slices cut, in a model with several stacks: "model.decoder.layers."
    parameters: Parameters = {}
    vocabulary: Literal["same", "base", "union", "intersection"] = "same"  # see `syn2real.merge.vocabulary`
    tokenizer: str | None = None  # a directory: whose tokenizer vocabulary: base takes; None: the anchor's
    tokens: dict[str, TokenRule] = {}  # rules for single tokens of that vocabulary
    pad_to_multiple_of: int | None = Field(
        default=None, ge=1, le=1 << 20
    )  # rows of embeddings; None: as the anchor has them
    chat_template: str | None = None  # of the result, see `syn2real.merge.chat_templates`; None: the anchor's
    dtype: Literal["float64", "float32"] = "float64"  # of the arithmetic
    out_dtype: DType | None = None  # of the result; None: the anchor's
    seed: int = 0
    allow_dtypes: bool = False  # accept models of different floating-point widths
    carried: Literal["equal", "anchor"] = "equal"  # what tensors of integers must be, or whose are taken
    notes: list[str] = []  # shown before merging

    @model_validator(mode="after")
    def _numbers_are_finite(self) -> "MergeRecipe":
        for key, value in _numbers(self.model_dump(), ""):
            if not math.isfinite(value):
                raise ValueError(f"{key}: {value} is not a finite number")
        return self

    @model_validator(mode="after")
    def _shape(self) -> "MergeRecipe":
        if (self.expression is None) == (self.method is None):
            raise ValueError("write either 'expression' or 'method'")
        if self.expression is not None:
            if not isinstance(self.models, dict):
                raise ValueError("models: an expression needs names, for instance {T: path, R: path}")
            for key in ("base", "slices"):
                if getattr(self, key):
                    raise ValueError(f"{key}: not used with an expression")
        elif isinstance(self.models, dict) and self.models:
            raise ValueError("models: a method needs a list, for instance [{model: path, weight: 1}]")
        elif bool(self.models) == bool(self.slices):
            raise ValueError("write either 'models' or 'slices'")
        for key in ("tokens", "pad_to_multiple_of"):
            if getattr(self, key) and self.vocabulary not in ("base", "union"):
                raise ValueError(f"{key}: goes with vocabulary: base or union")
        if self.tokenizer and self.vocabulary != "base":
            raise ValueError("tokenizer: goes with vocabulary: base")
        return self

    @property
    def paths(self) -> list[str]:
        """Every model named, once, in order."""
        found = [self.base] if self.base else []
        if isinstance(self.models, dict):
            found += self.models.values()
        else:
            found += [entry.model for entry in self.models]
        for part in self.slices or []:
            found += [*([part.base] if part.base else []), *(source.model for source in part.sources)]
        if self.anchor and self.expression is None:
            found.append(self.anchor)
        return list(dict.fromkeys(path for path in found if path))

    def with_paths(self, paths: Mapping[str, str]) -> "MergeRecipe":
        """The same recipe with every path replaced; those missing from ``paths`` stay."""

        def moved(value: Any) -> Any:
            if isinstance(value, str):
                return paths.get(value, value)
            return value

        content = self.model_dump(mode="json")
        for key in ("base", "template", "tokenizer"):
            content[key] = moved(content[key])
        if isinstance(content["models"], dict):
            content["models"] = {name: moved(path) for name, path in content["models"].items()}
        else:
            content["models"] = [{**entry, "model": moved(entry["model"])} for entry in content["models"]]
            content["anchor"] = moved(content["anchor"])
            content["tokens"] = {token: rule.moved(paths) for token, rule in self.tokens.items()}
        for part in content["slices"] or []:
            part["sources"] = [{**source, "model": moved(source["model"])} for source in part["sources"]]
            part["base"] = moved(part["base"])
        return MergeRecipe.model_validate(content)

    @property
    def bases(self) -> list[str | None]:
        """The base of each slice; of the whole, where there are none."""
        return [part.base or self.base for part in self.slices] if self.slices else [self.base]

    @property
    def folders(self) -> list[str]:
        """The directories that are named beside the models."""
        return [place for place in (self.template, self.tokenizer) if place is not None and place != NO_TEMPLATE]

    @property
    def torch_out_dtype(self) -> torch.dtype | None:
        """``out_dtype`` as torch's."""
        return getattr(torch, self.out_dtype) if self.out_dtype else None


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> MergeRecipe:
    """Read a recipe in our dialect or mergekit's. Raises `UserError` with file and line."""
    return beside_file(read_recipe(Document.load(path, overrides)), path)


def read_recipe(document: Document) -> MergeRecipe:
    """The recipe in a document, its paths as they are written. Raises `UserError` with file and line."""
    if "merge_method" in document.content:
        from syn2real.merge.mergekit_dialect import translate

        return translate(document)
    if {"gate_mode", "experts"} <= document.content.keys():
        raise document.error(["experts"], "a recipe of mergekit-moe: mixtures of experts are not made here")
    return document.parse(MergeRecipe)


def beside_file(recipe: MergeRecipe, path: Path, *, but: Collection[str] = ()) -> MergeRecipe:
    """A recipe whose models are looked for beside its file first, ``but`` those of these names."""
    places = [place for place in (*recipe.paths, *recipe.folders) if place.split(references.JOINT)[0] not in but]
    return recipe.with_paths({place: references.beside(place, path.parent) for place in places})


def parse_recipe(**values: Any) -> MergeRecipe:
    """A recipe from Python values. Raises `UserError` for one that is out of bounds."""
    return parse_values(MergeRecipe, values)
