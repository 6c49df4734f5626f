"""Named plug-ins: our own by decorator, a user's by an entry point of the same group."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from syn2real.errors import UserError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things of one kind. A package adds to it with ``[project.entry-points."syn2real.<kind>"]``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds a thing under ``name``. Raises `ValueError` for a name taken twice."""

        def add(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            return item

        return add

    def names(self) -> list[str]:
        """All names, ours and those of installed packages, sorted."""
        return sorted({*self._items, *(point.name for point in self._entry_points())})

    def get(self, name: str) -> T:
        """The thing called ``name``. Raises `UserError` with the nearest name when there is none."""
        if name not in self._items:
            for point in self._entry_points():
                if point.name == name:
                    self._items[name] = point.load()
                    break
            else:
                raise UserError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.names())}")
        return self._items[name]

    def _entry_points(self):  # type: ignore[no-untyped-def]
        return entry_points(group=f"syn2real.{self.kind.replace(' ', '_')}")
