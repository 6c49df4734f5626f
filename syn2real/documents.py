"""YAML files checked by a pydantic model: every mistake is one line with file, line and remedy."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from syn2real.errors import UserError, at, did_you_mean, require_none

Model = TypeVar("Model", bound=BaseModel)
_LISTS = ("list_type", "tuple_type")  # what pydantic calls it when one is missing
_KIND = re.compile(r"(?:list|dict|tuple)\[")  # which of several kinds was tried, among the keys of a problem


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-5 is a number, as in JSON and YAML 1.2, and not a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


class Strict(BaseModel):
    """A part of a document: no key it does not know, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Document:
    """A YAML mapping, and where in its file each key stands."""

    path: Path
    content: dict[str, Any]
    node: yaml.Node | None
    overridden: frozenset[str] = frozenset()  # dotted keys that were set from outside

    @classmethod
    def load(cls, path: Path, overrides: Mapping[str, Any] | None = None) -> "Document":
        """Read a YAML file. ``overrides`` are as in `overriding`. Raises `UserError` with file and line."""
        document, *others = cls.load_all(path)
        if others:
            raise others[0].error(
                list(others[0].content)[:1], "a second document begins here; only `merge` takes several"
            )
        return document.overriding(overrides or {})

    @classmethod
    def load_all(cls, path: Path) -> list["Document"]:
        """Read a YAML file's documents, parted by ``---``; at least one. Raises `UserError` with file and line."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; give the path of a recipe") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: is not UTF-8; re-save the file as UTF-8") from error
        try:
            nodes = list(yaml.compose_all(text, Loader=_Loader))
            found = [pair for pair in zip(yaml.load_all(text, _Loader), nodes, strict=True) if pair[0] is not None]
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "not YAML"
            raise UserError(at(path, mark.line + 1 if mark else None, str(problem))) from error
        except RecursionError as error:
            raise UserError(f"{path}: brackets too deep to be read") from error
        if not found or not all(isinstance(content, dict) for content, _ in found):
            raise UserError(f"{path}: a recipe is a mapping of keys to values")
        return [cls(path, content, node) for content, node in found]

    def overriding(self, overrides: Mapping[str, Any]) -> "Document":
        """The document with dotted keys set to what YAML text says (``{"training.epochs": "1"}``)."""
        content = copy.deepcopy(self.content)
        for key, value in overrides.items():
            set_key(content, key, value)
        return replace(self, content=content, overridden=self.overridden | frozenset(overrides))

    def without(self, key: str) -> "Document":
        """The document but for one key."""
        return replace(self, content={name: value for name, value in self.content.items() if name != key})

    def parse(self, model: type[Model]) -> Model:
        """The content as ``model``. Raises `UserError` with file and line, of every problem found."""
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            found = sorted(_problems(error, model), key=lambda problem: _line(self.node, problem[0]) or 0)
            require_none([self.error(*problem) for problem in found], f"problems in {self.path}")
            raise

    def error(self, keys: list[str], problem: str) -> UserError:
        """A `UserError` that points at a key."""
        return UserError(at(self.path, _line(self.node, keys), problem))


def parse_values(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A model from values given in Python or by options. Raises `UserError` for one that is out of bounds."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(_problems(error, model)[0][1]) from error


def _problems(invalid: ValidationError, model: type[BaseModel]) -> list[tuple[list[str], str]]:
    """Where each problem is, and what: every unknown key, and one problem of every other key at the top."""
    unknown: dict[tuple[str, ...], tuple[list[str], str]] = {}
    others: dict[str, ErrorDetails] = {}
    for error in invalid.errors():
        top = str(error["loc"][0]) if error["loc"] else ""
        if error["type"] == "extra_forbidden":
            keys, problem = _described(error, model)
            unknown.setdefault(tuple(keys), (keys, problem))
        # A field that may be of several kinds has a problem for each: the kind meant is that which was read furthest.
        elif top not in others or len(error["loc"]) > len(others[top]["loc"]):
            others[top] = error
    misspelt = {keys[0] for keys in unknown}  # which leaves the right one missing
    if unknown:
        others = {top: error for top, error in others.items() if top not in misspelt and error["type"] != "missing"}
    return [*unknown.values(), *(_described(error, model) for error in others.values())]


def _described(error: ErrorDetails, model: type[BaseModel]) -> tuple[list[str], str]:
    keys = [str(part) for part in error["loc"] if not _KIND.match(str(part))]
    where = ".".join(keys)
    if error["type"] == "extra_forbidden":
        for key in keys[:-1]:
            if (field := _fields_of(model).get(key)) is not None:
                model = next(_models_in(field.annotation), model)
        known = _fields_of(model)
        if keys[-1] in model.model_fields:  # the field's own name, where its key is another
            return keys, f"unknown key {where!r} (did you mean {model.model_fields[keys[-1]].alias!r}?)"
        return keys, f"unknown key {where!r}{did_you_mean(keys[-1], known)}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in _LISTS:
        message = f"write a list, as [{error['input']}]" if isinstance(error["input"], str | int) else "write a list"
    return keys, f"{where}: {message}" if where else message


def _fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the keys that stand for them in a document."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Those that a field's annotation names, itself or within: of ``tuple[A, ...] | None`` it is A."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def parse_overrides(items: Iterable[str]) -> dict[str, str]:
    """``["training.epochs=1"]`` → ``{"training.epochs": "1"}``. Raises `UserError` for an item without ``=``."""
    overrides = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--set {item}: write KEY=VALUE, for instance training.epochs=1")
        overrides[key] = value
    return overrides


def set_key(content: Any, key: str, value: Any) -> None:
    """Set a dotted key to a value, or to what YAML text says; a number in the key is a place in a list."""
    *parents, last = key.split(".")
    try:
        if isinstance(value, str):
            value = yaml.load(value, _Loader)
        for parent in parents:
            content = content[int(parent)] if isinstance(content, list) else content.setdefault(parent, {})
        content[int(last) if isinstance(content, list) else last] = value
    except yaml.YAMLError as error:
        raise UserError(f"--set {key}={value}: the value is not YAML") from error
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise UserError(f"--set {key}: there is no such key, or its parent holds no others") from error


def _line(node: yaml.Node | None, keys: list[str]) -> int | None:
    """The line on which the last key found along ``keys`` stands; for keys that are missing, their parent's."""
    line = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == key:
                    line, node = name.start_mark.line + 1, value
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
        else:
            break
    return line
