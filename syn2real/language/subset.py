"""Some of many, drawn so that more of them hold the fewer."""

from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import TypeVar

from syn2real.hashing import seed_from

T = TypeVar("T")


def subset(items: Sequence[T], limit: int | None, seed: int, key: Callable[[T], tuple[Hashable, ...]]) -> list[T]:
    """At most ``limit`` items, drawn by the seed and each by its own key, in their order: a larger limit adds some and
    drops none."""
    if limit is None or limit >= len(items):
        return list(items)
    ranked = sorted(items, key=lambda item: Random(seed_from(seed, *key(item))).random())
    chosen = {key(item) for item in ranked[:limit]}
    return [item for item in items if key(item) in chosen]
