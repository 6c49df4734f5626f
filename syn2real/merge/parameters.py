"""Parameters that vary over a model: a number, a gradient over layers, or values by group, glob or regular expression.

    weight: 0.5                                    # everywhere
    weight: [0.2, 0.8]                             # from the first layer to the last, linearly
    weight: {encoder: 0.3, attention: [0, 1], "*": 0.5}   # the first key that matches
    weight:                                        # the same, as a list; a value without a filter matches everything
      - filter: "*.self_attn.*"
        value: 0.3
      - value: 0.5

A key is a group (see `syn2real.merge.groups`; ``layers`` is what lies in a numbered layer), a glob over the tensor's
whole name, ``/regex/``, or a part of the name.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from syn2real.errors import UserError
from syn2real.merge.groups import GROUPS, groups_of, layer_of

EVERYTHING = "*"
LAYERS = "layers"  # what lies in a numbered layer


class Resolver:
    """Values of parameters for each tensor of one model, whose ``depth`` is `groups.positions` or the like."""

    def __init__(self, depth: Mapping[str, float]) -> None:
        self._positions = depth
        self._asked: dict[str, None] = {}
        self._matched: set[str] = set()
        # (specification, filter): the same filter may be of use in one and of none in another.
        self._taken: set[tuple[str, str]] = set()
        self._passed: dict[tuple[str, str], None] = {}

    @property
    def unused(self) -> list[str]:
        """Filters that were asked for and matched no tensor so far."""
        return [key for key in self._asked if key not in self._matched]

    @property
    def shadowed(self) -> list[str]:
        """Filters that were never the first to match so far: earlier ones took all that they match."""
        return list(dict.fromkeys(key for spec, key in self._passed if (spec, key) not in self._taken))

    def value(self, specification: Any, name: str, parameter: str, default: Any, source: str | None = None) -> Any:
        """The value of ``parameter`` for tensor ``name``; ``default`` where no filter matches.

        Filters are held against ``source``, the name in a model of its own, where it is given.

        Raises `UserError` for a specification that is none of the forms above.
        """
        if specification is None:
            return default
        if isinstance(specification, Mapping):
            specification = [{"filter": key, "value": value} for key, value in specification.items()]
        if isinstance(specification, list) and any(isinstance(item, Mapping) for item in specification):
            for item in specification:
                if not isinstance(item, Mapping) or "value" not in item or set(item) - {"filter", "value"}:
                    raise UserError(f"{parameter}: write a list of numbers, or of entries with 'filter' and 'value'")
            found = self._matching(specification, source or name)
            return default if found is None else self.value(found["value"], name, parameter, default, source)
        if isinstance(specification, list):
            return self._gradient(specification, name, parameter)
        return specification

    def _gradient(self, values: list[Any], name: str, parameter: str) -> float:
        if not values or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            raise UserError(f"{parameter}: a gradient is a list of numbers, not {values!r}")
        if len(values) == 1:
            return float(values[0])
        place = self._positions.get(name, 1.0) * (len(values) - 1)
        left = min(int(place), len(values) - 2)
        return float(values[left] + (values[left + 1] - values[left]) * (place - left))

    def _matching(self, entries: list[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
        """The first entry whose filter takes a tensor. All are tried, to know which are of no use."""
        found, whole = None, repr(entries)
        for entry in entries:
            key = str(entry.get("filter") or EVERYTHING)
            if key != EVERYTHING:  # which may well find nothing left
                self._asked[key] = None
            if not matches(key, name):
                continue
            self._matched.add(key)
            if found is None:
                found = entry
                self._taken.add((whole, key))
            elif key != EVERYTHING:
                self._passed[whole, key] = None
        return found


def matches(key: str, name: str) -> bool:
    """Whether a filter takes a tensor. Raises `UserError` for a regular expression that is none."""
    if key == EVERYTHING:
        return True
    if key == LAYERS:
        return layer_of(name) is not None
    if key in GROUPS or key == "other":
        return key in groups_of(name)
    if len(key) > 1 and key.startswith("/") and key.endswith("/"):
        try:
            return re.search(key[1:-1], name) is not None
        except re.error as error:
            raise UserError(f"filter {key}: not a regular expression ({error})") from error
    if any(sign in key for sign in "*?["):
        return fnmatchcase(name, key)
    return key in name
