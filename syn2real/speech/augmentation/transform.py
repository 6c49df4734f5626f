"""What a transform is: a frozen dataclass of checked parameters that turns samples into samples.

A transform of your own is one file:

    from syn2real.speech.augmentation import Interval, Transform, Within, transform

    @transform("tremolo")
    @dataclass(frozen=True)
    class Tremolo(Transform):
        \"""Slow beating of the level.\"""

        rate: Annotated[Interval, Within(0.1, 50, "Hz")] = (2, 8)

        def __call__(self, samples, random):
            time = np.arange(samples.size) / SAMPLE_RATE
            return samples * (0.75 + 0.25 * np.sin(2 * np.pi * random.uniform(*self.rate) * time))

Import it before use, or name it in an entry point of the group ``syn2real.transform``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from syn2real.errors import UserError, did_you_mean
from syn2real.registry import Registry

Interval = tuple[float, float]  # (low, high), from which each clip draws uniformly


@dataclass(frozen=True)
class Within:
    """What a parameter that is an `Interval` may be: ``[low, high]`` or one number, from ``bottom`` to ``top``."""

    bottom: float
    top: float
    unit: str = ""

    def check(self, value: Any) -> Interval:
        """The interval. Raises `UserError`."""
        pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in pair)
        if len(pair) != 2 or not numbers or not self.bottom <= pair[0] <= pair[1] <= self.top:
            bounds = f"{self.bottom:g} and {self.top:g} {self.unit}".rstrip()
            raise UserError(f"write a number or [low, high] within {bounds}, not {value!r}")
        return float(pair[0]), float(pair[1])


@dataclass(frozen=True)
class Among:
    """What a parameter to draw names from may be: one of ``known``, or a list of them."""

    known: tuple[str, ...]

    def check(self, value: Any) -> tuple[str, ...]:
        """The names. Raises `UserError`."""
        chosen = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not chosen:
            raise UserError(f"name at least one of {', '.join(self.known)}")
        for name in chosen:
            if name not in self.known:
                raise UserError(f"unknown choice {name!r}{did_you_mean(str(name), self.known)}")
        return chosen


@dataclass(frozen=True)
class Transform:
    """A change to a recording. Raises `UserError` on creation for a parameter out of bounds."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            for rule in getattr(hint, "__metadata__", ()):
                try:
                    object.__setattr__(self, name, rule.check(getattr(self, name)))
                except UserError as error:
                    raise UserError(f"{name}: {error}") from error

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """New samples from ``samples`` (mono, 16 kHz, shape (n,)), which are left as they are.

        All chance comes from ``random``.
        """
        raise NotImplementedError

    @property
    def recordings(self) -> tuple[Path, ...]:
        """Files that the result depends on."""
        return ()


TRANSFORMS: Registry[type[Transform]] = Registry("transform")

Kind = TypeVar("Kind", bound=type[Transform])


def transform(name: str) -> Callable[[Kind], Kind]:
    """Decorator that makes a transform known to specifications as ``name``."""

    def add(kind: Kind) -> Kind:
        TRANSFORMS.register(name)(kind)
        return kind

    return add
