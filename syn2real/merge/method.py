"""Merge methods: pure functions of a `Stack`, registered by decorator, their parameters read from their signatures.

A method of your own is one file:

    from syn2real.merge import PerModel, Stack, method

    @method("median")
    def median(stack: Stack, *, weight: PerModel = (1.0,)):
        \"""The element-wise median.\"""
        return stack.map(lambda block: torch.stack(block.models).median(0).values)

Import it before merging, or name it in an entry point of the group ``syn2real.merge_method``.
"""

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from syn2real.errors import UserError, did_you_mean
from syn2real.merge.stack import Stack
from syn2real.registry import Registry

# A parameter with a value for each model of the stack. A default of one value, and a single number in a recipe, hold
# for all of them.
PerModel = Sequence[float]

Merge = Callable[..., Iterable[Tensor]]

# What a method makes of a recipe's base: differences to it, which it must or may have; a model like others, but the
# first; or nothing, so that a recipe may not name one.
Base = Literal["required", "optional", "first", "none"]


@dataclass(frozen=True)
class Parameter:
    """A method's parameter: its type (float, int, bool, or the choices of a Literal) and default."""

    name: str
    kind: type
    default: Any
    choices: tuple[str, ...] = ()
    per_model: bool = False

    def check(self, value: Any) -> Any:
        """``value`` in this parameter's type. Raises `UserError`."""
        if self.choices:
            if value not in self.choices:
                raise UserError(f"{self.name}: {value!r} is not a choice{did_you_mean(str(value), self.choices)}")
            return value
        if self.kind is bool:
            if not isinstance(value, bool):
                raise UserError(f"{self.name}: {value!r} is not true or false")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{self.name}: {value!r} is not a number")
        if self.kind is int and int(value) != value:
            raise UserError(f"{self.name}: {value!r} is not a whole number")
        try:
            return self.kind(value)
        except OverflowError as error:
            raise UserError(f"{self.name}: {str(value)[:12]}… is more than a number can be") from error


@dataclass(frozen=True)
class Method:
    """A registered merge method. ``models`` is how many it takes, (least, most); a base is not among them, unless it is
    the ``first``."""

    name: str
    function: Merge
    parameters: Mapping[str, Parameter]
    base: Base
    models: tuple[int, int | None]
    shared: list[Callable[..., Any]] = field(default_factory=list)
    _tried: set[Any] = field(default_factory=set, compare=False, repr=False)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return inspect.getdoc(self.function).split("\n")[0] if self.function.__doc__ else ""  # type: ignore[union-attr]

    @property
    def doc(self) -> str:
        """The whole docstring: equation, variants and source."""
        return inspect.getdoc(self.function) or ""

    def __call__(self, stack: Stack, **parameters: Any) -> Iterable[Tensor]:
        """Merge one tensor: float64 blocks in order. Parameters as in the function's signature."""
        return self.function(stack, **self.complete(parameters, len(stack)))

    def complete(self, given: Mapping[str, Any], models: int) -> dict[str, Any]:
        """Parameters checked, with defaults filled in and one number spread over all models. Raises `UserError`."""
        complete: dict[str, Any] = {}
        for name in given:
            if name not in self.parameters and name != "shared":
                raise UserError(f"{self.name} has no parameter {name!r}{did_you_mean(name, self.parameters)}")
        for name, parameter in self.parameters.items():
            value = given.get(name, parameter.default)
            if parameter.per_model:
                values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
                values = values * models if len(values) == 1 else values
                if len(values) != models:
                    raise UserError(f"{name}: {len(values)} values for {models} models")
                complete[name] = [parameter.check(item) for item in values]
            else:
                complete[name] = parameter.check(value)
        if self.shared:
            complete["shared"] = given.get("shared")
        return complete

    def attempt(self, stack: Stack, parameters: Mapping[str, Any]) -> None:
        """Merge a few made-up numbers in the place of a tensor, so that parameters which no tensor can be merged with
        are known before any is read. Raises what the method does."""
        shape = [min(extent, 2) for extent in stack.shape]
        complete = self.complete(parameters, len(stack))
        kind = (tuple(shape), stack.has_base, repr(complete))
        if kind in self._tried or 0 in shape:
            return
        drawn = torch.Generator().manual_seed(0)
        models = [torch.randn(shape, dtype=torch.float64, generator=drawn) for _ in range(len(stack) + stack.has_base)]
        trial = Stack.of(models[: len(stack)], models[-1] if stack.has_base else None, name=stack.name)
        if self.shared:
            complete |= {"shared": self.prepare([trial], {k: v for k, v in complete.items() if k != "shared"})}
        for _ in self.function(trial, **complete):
            pass
        self._tried.add(kind)

    def share(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator for what must be known of all tensors before the first is merged.

        ``compute(stacks, **parameters)`` is called once; the method receives its result as ``shared``.
        """
        self.shared.append(compute)
        return compute

    def prepare(self, stacks: Iterable[Stack], parameters: Mapping[str, Any]) -> Any:
        """What the method shares between tensors; None for most methods."""
        return self.shared[0](stacks, **parameters) if self.shared else None


METHODS: Registry[Method] = Registry("merge method")


def method(
    name: str,
    *,
    base: Base = "none",
    models: tuple[int, int | None] = (1, None),
) -> Callable[[Merge], Method]:
    """Register a function ``(stack, *, parameters…)`` that yields the merged tensor's blocks.

    Keyword-only parameters must be annotated ``float``, ``int``, ``bool``, ``PerModel`` or a ``Literal`` of strings,
    and have defaults. ``base`` says what becomes of a recipe's base model (see `Base`).
    """

    def register(function: Merge) -> Method:
        made = Method(name, function, _parameters(function), base, models)
        return METHODS.register(name)(made)

    return register


def _parameters(function: Merge) -> dict[str, Parameter]:
    hints = typing.get_type_hints(function)
    found = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        name, kind = parameter.name, hints.get(parameter.name)
        if name == "shared":
            continue
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.default is inspect.Parameter.empty:
            raise TypeError(f"{function.__name__}: {name} must be keyword-only and have a default")
        if typing.get_origin(kind) is Literal:
            found[name] = Parameter(name, str, parameter.default, typing.get_args(kind))
        elif kind == PerModel:
            found[name] = Parameter(name, float, parameter.default, per_model=True)
        elif kind in (float, int, bool):
            found[name] = Parameter(name, kind, parameter.default)
        else:
            raise TypeError(f"{function.__name__}: {name} is annotated {kind}; use float, int, bool, PerModel, Literal")
    return found
