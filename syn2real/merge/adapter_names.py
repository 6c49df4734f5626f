"""From the names in an adapter to those in its base's files."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from syn2real.merge.experts import block_names
from syn2real.merge.tensors import TensorInfo


def renaming(wanted: Sequence[Collection[str]], names: Mapping[str, TensorInfo]) -> Callable[[str], str]:
    """From the adapter's names to the base's: models with and without a head differ in a prefix of all names.

    ``wanted`` has, for each part of the adapter, the names of which one should be there. The prefix is the one with
    which most are; names as they are come first.
    """
    heads = _beginnings(names)
    drops = _beginnings(name for choices in wanted for name in choices)
    block = block_names(names)

    def placed(name: str, drop: str, add: str) -> str:
        changed = add + name.removeprefix(drop)
        return changed if changed in names else block(changed)

    best, most = ("", ""), -1
    for drop in drops:
        for add in heads:
            if drop and add:
                continue
            found = sum(any(placed(name, drop, add) in names for name in choices) for choices in wanted)
            if found > most:
                best, most = (drop, add), found
        if most == len(wanted):
            break
    drop, add = best
    return lambda name: placed(name, drop, add)


def _beginnings(names: Iterable[str]) -> list[str]:
    """No prefix, then those of one and of two parts."""
    parts = (".".join(name.split(".")[:k]) + "." for name in names for k in (1, 2) if name.count(".") > k)
    return list(dict.fromkeys(["", *parts]))
