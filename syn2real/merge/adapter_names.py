"""From the names in an adapter to those in its base's files."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from syn2real.errors import CheckpointMismatch
from syn2real.merge.experts import block_names
from syn2real.merge.tensors import TensorInfo


def renaming(wanted: Sequence[Collection[str]], names: Mapping[str, TensorInfo], file: Path) -> Callable[[str], str]:
    """From the adapter's names to the base's: models with and without a head differ in a prefix of all names.

    ``wanted`` has, for each part of the adapter, the names of which one should be there. The prefix is the one with
    which most are; names as they are come first. Raises `CheckpointMismatch`, of the adapter's ``file``, where another
    prefix does as well, as in models of two towers.
    """
    heads = _beginnings(names)
    drops = _beginnings(name for choices in wanted for name in choices)
    block = block_names(names)

    def placed(name: str, drop: str, add: str) -> str:
        changed = add + name.removeprefix(drop)
        return changed if changed in names else block(changed)

    def reached(drop: str, add: str) -> list[str]:
        places = ([placed(name, drop, add) for name in choices] for choices in wanted)
        there = ([place for place in several if place in names] for several in places)
        return [several[0] for several in there if several]

    best, most = ("", ""), reached("", "")
    rival = most
    for drop in drops:
        for add in heads:
            if drop and add:
                continue
            found = reached(drop, add)
            if len(found) > len(most):
                best, most, rival = (drop, add), found, found
            elif len(found) == len(most) and best != ("", ""):
                rival = found if found != most else rival
        if len(most) == len(wanted):
            break
    if rival != most:
        one, other = next((a, b) for a, b in zip(most, rival, strict=True) if a != b)
        raise CheckpointMismatch(f"{file}: {one} and {other} may both be meant; name its tensors as the base does")
    drop, add = best
    return lambda name: placed(name, drop, add)


def _beginnings(names: Iterable[str]) -> list[str]:
    """No prefix, then those of one and of two parts."""
    parts = (".".join(name.split(".")[:k]) + "." for name in names for k in (1, 2) if name.count(".") > k)
    return list(dict.fromkeys(["", *parts]))
