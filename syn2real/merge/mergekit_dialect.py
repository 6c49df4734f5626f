"""mergekit's recipes as ours: a YAML file with ``merge_method`` runs unchanged, with the defaults its writer expects.

Checked against mergekit 0.1.5, tensor by tensor. Where the two still differ, ours is the wider choice:

- Arithmetic is float64 with one rounding; mergekit rounds the inputs to ``dtype`` first. ``dtype`` alone is taken for
  the result's.
- Random methods draw other numbers.
- Models of different vocabulary are refused unless ``tokenizer_source`` says what to do; mergekit cuts the larger one.
- Model Stock goes back to the base where task vectors disagree, mergekit beyond it; SCE selects one element at least.
- What mergekit ignores is said in a note (``int8_mask``, parameters of other methods) or refused (misspelt ones).
- A filter that mergekit calls ``*`` or leaves out matches everything, any other one a part of the tensor's name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from syn2real.documents import Document
from syn2real.errors import UserError, did_you_mean
from syn2real.merge.parameters import EVERYTHING, LAYERS
from syn2real.merge.recipe import MergeRecipe
from syn2real.merge.token_rules import TokenRule

MODULE = "default"  # what mergekit calls all of a model that has one stack of layers
_SWITCHES = {"normalize", "rescale", "rows", "flatten", "columns"}  # of ours, which are true or false
_DTYPES = ("float32", "float16", "bfloat16")
# Every parameter that mergekit's methods know: one that the method at hand does not use is ignored, as mergekit does.
_KNOWN = {
    *("weight", "density", "normalize", "int8_mask", "lambda", "rescale", "rescale_norm", "epsilon", "gamma", "t"),
    *("embed_slerp", "nuslerp_flatten", "nuslerp_row_wise", "normalize_weights", "eps", "max_iter", "tol"),
    *("filter_wise", "select_topk", "scale", "r", "alpha"),
}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: Any
    parameters: dict[str, Any] | None = None


class _Source(_Entry):
    layer_range: tuple[int, int]


class _Slice(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sources: list[_Source] = Field(min_length=1)
    base_model: Any = None
    residual_weight: Any = None  # which mergekit reads and does not use
    parameters: dict[str, Any] | None = None


class _Module(BaseModel):
    model_config = ConfigDict(extra="forbid")
    models: list[_Entry] | None = None
    slices: list[_Slice] | None = None
    parameters: dict[str, Any] | None = None


class _Tokenizer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    source: Any = "union"
    tokens: dict[str, TokenRule] | None = None
    pad_to_multiple_of: int | None = Field(default=None, ge=1)

    @field_validator("tokens", mode="before")
    @classmethod
    def _paths(cls, tokens: Any) -> Any:
        """Models by their paths, also where they stand as ``{model: {path: …}}``."""

        def flat(model: Any) -> Any:
            while isinstance(model, Mapping) and len(model) == 1 and model.keys() <= {"model", "path"}:
                (model,) = model.values()
            return model

        rules = dict(tokens) if isinstance(tokens, Mapping) else {}
        for token, rule in rules.items():
            source = rule.get("source") if isinstance(rule, Mapping) else None
            if isinstance(source, Mapping) and "model" in source:
                rules[token] = {**rule, "source": {**source, "model": flat(source["model"])}}
        return rules or tokens


class _Configuration(BaseModel):
    model_config = ConfigDict(extra="forbid")
    merge_method: str
    modules: dict[str, _Module] | None = None
    models: list[_Entry] | None = None
    slices: list[_Slice] | None = None
    parameters: dict[str, Any] | None = None
    base_model: Any = None
    dtype: str | None = None
    out_dtype: str | None = None
    tokenizer_source: Any = None
    tokenizer: _Tokenizer | None = None
    chat_template: str | None = None


@dataclass(frozen=True)
class _Method:
    """How a method of mergekit's is one of ours.

    ``names`` are its parameters with our names for them, ``each`` those that a model may have for itself, ``defaults``
    mergekit's, in our names, and ``only`` values that are supported of parameters which ours has not. ``base`` says
    what ``base_model`` is: ``base`` as here, ``model`` one of the models, or only the ``anchor``. ``ours`` is our name
    for the method, where it is another.
    """

    names: Mapping[str, str]
    each: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, bool] = field(default_factory=dict)
    base: str = "base"
    ours: str | None = None


def _sparse(defaults: Mapping[str, Any], *own: str, rescale: bool = False) -> _Method:
    """A method that thins out task vectors."""
    names = {"weight": "weight", "density": "density", "lambda": "scale", "normalize": "normalize"}
    names |= {name: name for name in own} | ({"rescale": "rescale"} if rescale else {})
    only = {} if rescale else {"rescale": False}
    return _Method(names, ("weight", "density", *own), {"density": 1.0, **defaults}, only)


_WEIGHT = {"weight": "weight"}
_METHODS = {
    "linear": _Method({**_WEIGHT, "normalize": "normalize"}, ("weight",), base="model"),
    "task_arithmetic": _Method({**_WEIGHT, "normalize": "normalize", "lambda": "scale"}, ("weight",)),
    "slerp": _Method({"t": "t"}, only={"embed_slerp": False}),
    "nuslerp": _Method({**_WEIGHT, "nuslerp_flatten": "flatten", "nuslerp_row_wise": "columns"}, ("weight",)),
    "multislerp": _Method({**_WEIGHT, "normalize_weights": "normalize"}, ("weight",), {"variant": "mergekit"}),
    "karcher": _Method({"max_iter": "max_iter", "tol": "tol"}, base="model"),
    "ties": _sparse({"variant": "mergekit", "normalize": True}),
    "dare_linear": _sparse({"variant": "mergekit", "normalize": False}, rescale=True),
    "dare_ties": _sparse({"variant": "mergekit", "normalize": False}, rescale=True),
    "della": _sparse({"variant": "mergekit", "normalize": True, "epsilon": 0.15}, "epsilon", rescale=True),
    "della_linear": _sparse({"variant": "mergekit", "normalize": False, "epsilon": 0.15}, "epsilon", rescale=True),
    "breadcrumbs": _sparse({"normalize": False, "gamma": 0.01}, "gamma"),
    "breadcrumbs_ties": _sparse({"normalize": False, "gamma": 0.01}, "gamma"),
    "model_stock": _Method({"filter_wise": "rows"}, defaults={"angle": "mean_cosine"}),
    "sce": _Method({"select_topk": "select_topk"}, defaults={"select_topk": 1.0}),
    "arcee_fusion": _Method({}),
    "nearswap": _Method({"t": "t"}),
    "ram": _Method({"epsilon": "epsilon"}),
    "ramplus_tl": _Method(
        {name: name for name in ("epsilon", "r", "alpha")}, defaults={"variant": "mergekit"}, ours="ram_plus"
    ),
    "passthrough": _Method({"scale": "scale"}, ("scale",), base="anchor"),
}


def translate(document: Document) -> MergeRecipe:
    """A recipe in mergekit's dialect as ours. Raises `UserError` with file and line for what it cannot express."""
    return _Translation(document, document.parse(_Configuration)).recipe()


class _Translation:
    def __init__(self, document: Document, configuration: _Configuration) -> None:
        self.document = document
        self.configuration = configuration
        name = configuration.merge_method
        if name not in _METHODS:
            raise self.error(["merge_method"], f"mergekit's {name!r} is not supported{did_you_mean(name, _METHODS)}")
        self.name, self.method = name, _METHODS[name]
        self.notes: dict[str, None] = {}

    def error(self, keys: list[str], problem: str) -> UserError:
        return self.document.error(keys, problem)

    def recipe(self) -> MergeRecipe:
        given = self.configuration
        base = self.path(given.base_model, ["base_model"]) if given.base_model is not None else None
        vocabulary, tokenizer = self.tokenizer()
        content: dict[str, Any] = {
            "method": self.method.ours or self.name,
            "base": base if self.method.base == "base" else None,
            "anchor": base if self.method.base != "base" else None,
            "vocabulary": vocabulary,
            "tokenizer": tokenizer,
            "tokens": given.tokenizer.tokens if given.tokenizer else None,
            "pad_to_multiple_of": given.tokenizer.pad_to_multiple_of if given.tokenizer else None,
            "chat_template": given.chat_template,
            "out_dtype": self.dtype(),
            "allow_dtypes": True,  # mergekit converts to dtype
        }
        body, place = self.body()
        everywhere = dict(self.method.defaults)
        scopes = [(["parameters"], given.parameters)]
        if isinstance(body, _Module):
            scopes.append(([*place, "parameters"], body.parameters))
        for keys, parameters in scopes:
            found = self.scope(parameters, keys, own=False)
            everywhere |= {name: _before(value, everywhere.get(name)) for name, value in found.items()}
        if body.models is not None:
            content["models"] = [self.entry(entry, [*place, "models", str(i)]) for i, entry in enumerate(body.models)]
        if body.slices is not None:
            content["slices"] = [self.slice(part, [*place, "slices", str(i)]) for i, part in enumerate(body.slices)]
        if base is not None and self.method.base == "model" and "models" in content:
            self.list_base(base, content["models"], everywhere)
        self.finish(everywhere)
        content |= {"parameters": everywhere, "notes": list(self.notes)}
        known = {key: value for key, value in content.items() if value is not None}
        return Document(self.document.path, known, self.document.node).parse(MergeRecipe)

    def body(self) -> tuple[_Configuration | _Module, list[str]]:
        """What holds ``models`` or ``slices``, and its place: the recipe itself, or its only module."""
        given = self.configuration
        if given.modules is None:
            return given, []
        others = [name for name in given.modules if name != MODULE]
        if others:
            raise self.error(
                ["modules", others[0]],
                f"modules: {others[0]!r}: not supported, as only mergekit's tables say which tensors that is; write "
                "'models' at the top, with 'parameters' by part of a tensor's name ([{filter: visual, value: 0}, …]), "
                "or 'slices' in a recipe of ours, with 'stack'",
            )
        for key in ("models", "slices"):
            if getattr(given, key) is not None:
                raise self.error([key], f"{key}: goes without 'modules'")
        module, place = given.modules.get(MODULE), ["modules", *given.modules]
        if module is None or (module.models is None) == (module.slices is None):
            raise self.error(place, f"{place[-1]}: write either 'models' or 'slices'")
        return module, place

    def entry(self, entry: _Entry, keys: list[str]) -> dict[str, Any]:
        own = self.scope(entry.parameters, [*keys, "parameters"], own=True)
        self.finish(own)
        return {"model": self.path(entry.model, [*keys, "model"]), "parameters": own}

    def slice(self, part: _Slice, keys: list[str]) -> dict[str, Any]:
        shared = self.scope(part.parameters, [*keys, "parameters"], own=False)
        sources = []
        for i, source in enumerate(part.sources):
            made = self.entry(source, [*keys, "sources", str(i)])
            sources.append(made | {"layer_range": source.layer_range})
        self.finish(shared)
        if part.residual_weight is not None:
            self.notes["residual_weight has no effect"] = None
        made = {"sources": sources, "parameters": shared}
        if part.base_model is None:
            return made
        base = self.path(part.base_model, [*keys, "base_model"])
        if self.method.base != "base":
            self.notes[f"base_model of a slice has no effect on {self.name}"] = None
            return made
        return made | {"base": base}

    def list_base(self, base: str, models: list[dict[str, Any]], everywhere: Mapping[str, Any]) -> None:
        """Methods without a base take ``base_model`` for one model more, before the others."""
        if any(entry["model"] == base for entry in models):
            return
        if self.name == "linear" and "weight" not in everywhere:
            raise self.error(
                ["base_model"], "linear averages base_model too: give it a weight under 'models', or leave it out"
            )
        models.insert(0, {"model": base})

    def scope(self, parameters: Mapping[str, Any] | None, keys: list[str], *, own: bool) -> dict[str, Any]:
        """One ``parameters`` mapping in our names; ``own`` for a single model's."""
        found: dict[str, Any] = {}
        for name, value in (parameters or {}).items():
            place = [*keys, name]
            if name not in _KNOWN:
                raise self.error(place, f"unknown parameter {name!r}{did_you_mean(name, self.method.names)}")
            if name in self.method.only and (not own or name in self.method.each):
                if bool(value) != self.method.only[name]:
                    raise self.error(place, f"{name}: {value}: not supported for {self.name}; leave it out")
            elif name not in self.method.names or (own and name not in self.method.each):
                everywhere = " of a single model" if name in self.method.names else ""
                self.notes[f"{name}{everywhere} has no effect on {self.name}"] = None
            elif value is not None:
                found[self.method.names[name]] = self.value(value, place)
        return found

    def value(self, value: Any, keys: list[str]) -> Any:
        """A value in our notation."""
        if isinstance(value, Mapping):
            value = [value]
        if not isinstance(value, list):
            return _number(value)
        value = [_number(item) for item in value]
        if not any(isinstance(item, Mapping) for item in value):
            if len(value) < 2:
                return value[0] if value else None
            # mergekit gives everything outside of the layers, the final norm and the head too, the first value.
            return [{"filter": LAYERS, "value": value}, {"value": value[0]}]
        entries = []
        for i, item in enumerate(value):
            if not isinstance(item, Mapping) or "value" not in item or set(item) - {"filter", "value"}:
                raise self.error([*keys, str(i)], f"{keys[-1]}: write entries with 'filter' and 'value'")
            key = item.get("filter")
            made = {"value": self.value(item["value"], [*keys, str(i), "value"])}
            entries.append(made if key in (None, EVERYTHING) else {"filter": f"/{re.escape(str(key))}/"} | made)
        return entries

    def finish(self, values: dict[str, Any]) -> None:
        """Settle, in place, what is more than a change of names."""
        for name in _SWITCHES & values.keys():
            values[name] = _switch(values[name])

    def dtype(self) -> str | None:
        name = self.configuration.out_dtype or self.configuration.dtype
        if not name:
            return None
        name = name.removeprefix("torch.")
        if name not in _DTYPES:
            key = "out_dtype" if self.configuration.out_dtype else "dtype"
            raise self.error([key], f"{key}: {name!r}: choose from {', '.join(_DTYPES)}")
        return name

    def tokenizer(self) -> tuple[str, str | None]:
        """Our ``vocabulary``, and whose tokenizer the result takes, unless it is the anchor's."""
        given = self.configuration
        if given.tokenizer is not None and given.tokenizer_source is not None:
            raise self.error(["tokenizer_source"], "tokenizer_source: write it or tokenizer, not both")
        keys = ["tokenizer", "source"] if given.tokenizer else ["tokenizer_source"]
        source = given.tokenizer.source if given.tokenizer else given.tokenizer_source
        if source is None:
            return "same", None
        if source in ("base", "union"):
            return source, None
        if isinstance(source, str):
            source = source.removeprefix("model:")
        path = self.path(source, keys)
        listed = given.models or [source for part in given.slices or [] for source in part.sources]
        anchor = given.base_model if given.base_model is not None else listed[0].model if listed else None
        return "base", None if anchor is not None and path == self.path(anchor, keys) else path

    def path(self, reference: Any, keys: list[str]) -> str:
        """A model's path from ``path``, or ``{model: path}`` with or without ``{path: …}`` inside."""
        value = reference
        while isinstance(value, Mapping):
            rest = {key for key, item in value.items() if item is not None} - {"model", "path"}
            if rest or len(value) == 0:
                raise self.error(keys, f"{keys[-1]}: {', '.join(sorted(rest)) or 'empty'}: only a path is supported")
            value = value.get("model", value.get("path"))
        if not isinstance(value, str) or not value:
            raise self.error(keys, f"{keys[-1]}: {reference!r} is not a path")
        return value


def _number(value: Any) -> Any:
    """A number that YAML took for a text, such as 1e-5."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _switch(value: Any) -> Any:
    """True or false for 1 and 0, also where filters stand before them."""
    if isinstance(value, list):
        return [{**item, "value": _switch(item["value"])} if isinstance(item, Mapping) else item for item in value]
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return bool(value) if isinstance(value, int | float) else value


def _before(value: Any, other: Any) -> Any:
    """A value with another for the tensors that its filters leave out."""
    filters = isinstance(value, list) and any(isinstance(item, Mapping) for item in value)
    if not filters or other is None:
        return value
    rest = other if isinstance(other, list) and any(isinstance(item, Mapping) for item in other) else [{"value": other}]
    return [*value, *rest]
