"""What of a public corpus is taken: rules that count what they leave out, splits by name, and seeded draws."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from syn2real.errors import UserError, did_you_mean
from syn2real.hashing import seed_from

_SPLITS = {"devel": "dev", "valid": "dev", "validation": "dev", "val": "dev", "eval": "test", "training": "train"}


class Named(Protocol):
    """What can be drawn: anything with an id."""

    @property
    def id(self) -> str:
        """What the draw depends on."""


N = TypeVar("N", bound=Named)


class Sieve:
    """Rules by name, each with how many items it was the first to leave out."""

    def __init__(self) -> None:
        self.left_out: dict[str, int] = {}

    def rejects(self, rule: str, broken: bool) -> bool:
        """Whether an item breaks ``rule``; counts it when it does."""
        if broken:
            self.left_out[rule] = self.left_out.get(rule, 0) + 1
        return broken


def split_name(name: str) -> str:
    """``train``, ``dev`` or ``test`` for what the corpora call them; any other name as it is."""
    return _SPLITS.get(name.lower(), name)


def one_of(value: str, known: Sequence[str], what: str) -> str:
    """``value`` when it is known. Raises `UserError` with the nearest name when it is not."""
    if value not in known:
        raise UserError(f"unknown {what} {value!r}{did_you_mean(value, known)}")
    return value


def splits_of(wanted: Sequence[str] | None, there: Sequence[str], kind: Callable[[str], str] = split_name) -> list[str]:
    """Those ``there`` that are asked for, by the corpus's own names or by ``kind``; all when nothing is asked for.

    Raises `UserError` for a name that is neither.
    """
    for name in wanted or ():
        if not any(name in (split, kind(split)) for split in there):
            raise UserError(f"no split {name!r}{did_you_mean(name, there)}")
    return [split for split in there if not wanted or split in wanted or kind(split) in wanted]


def draw(items: Iterable[N], limit: int | None, seed: int = 0) -> list[N]:
    """At most ``limit`` items, in their order.

    What is drawn depends on the ids and the seed alone, and a larger limit draws the same and more.
    """
    every = list(items)
    if limit is None or limit >= len(every):
        return every
    if limit < 1:
        raise UserError(f"the limit must be 1 or more, not {limit}")
    ranked = sorted(range(len(every)), key=lambda place: (seed_from(seed, every[place].id), place))
    return [every[place] for place in sorted(ranked[:limit])]
