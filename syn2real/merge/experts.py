"""Matrices of mixture-of-experts layers: the parameters that hold all experts, wherever a checkpoint keeps them.

In memory, transformers 5 has one parameter for all experts, of shape (experts, out, in) or (experts, in, out), and it
is this that PEFT's ``target_parameters`` name. Files mostly hold a matrix of shape (out, in) for each expert, under
``experts.3.up_proj.weight`` or, as Mixtral's, ``experts.3.w3.weight``; ``gate_up_proj`` is the gate's rows, then those
of the projection upwards. transformers calls the block that holds the experts ``mlp``, whatever the file calls it.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, pairwise, takewhile
from typing import TypeVar

from syn2real.merge.tensors import TensorInfo

# What a parameter of all experts is made of in files that hold them one by one; others go by their own name.
_APART = {"gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")), "down_proj": (("down_proj",), ("w2",))}
_EXPERT = re.compile(r"(?P<experts>.*\bexperts?)\.\d+\.(?P<leaf>[^.]+)\.weight")
_BLOCK = re.compile(r"(?P<layer>.*?\.\d+\.)(?P<block>[^.]+)\.experts?\.\d+\.")
_MLP = re.compile(r"(?P<layer>.*?\.\d+\.)mlp\.")
_NUMBER = re.compile(r"\.\d+(?=\.)")

Update = TypeVar("Update")


@dataclass(frozen=True)
class Part:
    """A stored tensor that holds matrices of a `Parameter`: ``matrices`` of them, from the expert ``first`` on.

    ``rows``: it holds only these rows of them.
    """

    name: str
    first: int = 0
    matrices: int = 1
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class Parameter:
    """A matrix of ``shape`` (rows, columns) for each of ``experts``, and the stored tensors that make it up.

    ``name`` is the adapter's; a parameter that is a single matrix counts as one expert.
    """

    name: str
    experts: int
    shape: tuple[int, int]
    parts: tuple[Part, ...]


def parameter(name: str, stored: str, infos: Mapping[str, TensorInfo]) -> Parameter | None:
    """The parameter that the checkpoint would call ``stored``, be it there or expert by expert; None if it is not."""
    if stored in infos:
        shape = infos[stored].shape
        if len(shape) not in (2, 3) or not math.prod(shape):
            return None
        experts = shape[0] if len(shape) == 3 else 1
        return Parameter(name, experts, (shape[-2], shape[-1]), (Part(stored, matrices=experts),))
    for pieces in _pieces(stored, 0):
        if all(piece in infos for piece in pieces):
            return _apart(name, stored, infos, pieces)
    return None


def places(stored: str) -> list[str]:
    """Where `parameter` looks first: ``stored`` itself, and the first expert's matrices."""
    return [stored, *(piece for pieces in _pieces(stored, 0) for piece in pieces)]


def parameters_holding(stored: str) -> list[str]:
    """The names that a matrix of a single expert, or any other tensor, may have as a parameter."""
    found = _EXPERT.fullmatch(stored)
    if not found:
        return [stored]
    whole = [name for name, choices in _APART.items() if any(found["leaf"] in pieces for pieces in choices)]
    return [f"{found['experts']}.{leaf}" for leaf in (*whole, found["leaf"])]


def is_expert(name: str) -> bool:
    """Whether a name is that of a matrix, or a module, of one expert."""
    return re.search(r"(^|\.)experts?\.\d+\.", name) is not None


def block_names(infos: Iterable[str]) -> Callable[[str], str]:
    """From names as in memory to the file's, where the block that holds the experts has another name than ``mlp``."""
    return _renaming({layer: ("mlp", block) for layer, block in _blocks(infos).items()})


def names_in_memory(infos: Iterable[str]) -> Callable[[str], str]:
    """The other way: from the file's names to those in memory."""
    return _renaming({layer: (block, "mlp") for layer, block in _blocks(infos).items()})


def _renaming(changes: Mapping[str, tuple[str, str]]) -> Callable[[str], str]:
    """Names whose part after a layer's is changed from one to another."""

    def renamed(name: str) -> str:
        for number in _NUMBER.finditer(name):
            layer, rest = name[: number.end() + 1], name[number.end() + 1 :]
            old, new = changes.get(layer, ("", ""))
            if old and rest.startswith(f"{old}."):
                return f"{layer}{new}{rest.removeprefix(old)}"
        return name

    return renamed


def _blocks(infos: Iterable[str]) -> dict[str, str]:
    """What the file calls the block that holds the experts, by layer, where it has none that is called ``mlp``."""
    names = list(infos)
    there = {found["layer"] for found in map(_MLP.match, names) if found}
    held = [found for found in map(_BLOCK.match, names) if found and found["layer"] not in there]
    return {found["layer"]: found["block"] for found in held}


def candidates(
    updates: Sequence[Update], parameters: Sequence[Parameter], fits: Callable[[Update, Parameter], bool]
) -> list[list[Parameter]]:
    """For each of the ``updates`` the parameters that it may be of; nothing where there is not one for each.

    PEFT files the updates of one module's parameters one within another, in the order in which the module declares
    them, and writes no name beside them. Those that fit one update fit all that look like it, and no others.
    """
    found = [[one for one in parameters if fits(update, one)] for update in updates]
    return found if all(found.count(own) == len(own) for own in found) else []


def _pieces(stored: str, expert: int) -> list[tuple[str, ...]]:
    """The names under which files may hold one expert's matrix, each in one piece or more."""
    module, _, leaf = stored.rpartition(".")
    return [tuple(f"{module}.{expert}.{one}.weight" for one in ones) for ones in _APART.get(leaf, ((leaf,),))]


def _apart(name: str, stored: str, infos: Mapping[str, TensorInfo], first: tuple[str, ...]) -> Parameter | None:
    """A parameter of which the file holds each expert's ``first`` pieces, and so on; None if their shapes differ."""
    choice = _pieces(stored, 0).index(first)
    each = list(
        takewhile(lambda names: all(one in infos for one in names), (_pieces(stored, i)[choice] for i in count()))
    )
    shapes = [[infos[one].shape for one in names] for names in each]
    if any(shape != shapes[0] for shape in shapes) or any(len(shape) != 2 for shape in shapes[0]):
        return None
    if len({shape[1] for shape in shapes[0]}) > 1:
        return None
    rows = list(pairwise(accumulate((shape[0] for shape in shapes[0]), initial=0)))
    parts = [
        Part(one, first=expert, rows=part if len(names) > 1 else None)
        for expert, names in enumerate(each)
        for one, part in zip(names, rows, strict=True)
    ]
    return Parameter(name, len(each), (rows[-1][1], shapes[0][0][1]), tuple(parts))
