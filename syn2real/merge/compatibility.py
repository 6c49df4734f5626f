"""Whether checkpoints can be combined: names, shapes, dtypes and vocabularies, checked before any weight is read."""

import re
from collections.abc import Mapping, Sequence

import torch

from syn2real.errors import CheckpointMismatch
from syn2real.merge.tensors import TensorInfo, TensorSource, dtype_name, ranges

SLICE = 1 << 20  # elements compared at a time
SHOWN = 5  # problems listed by name; the rest are counted

# Where models keep one row per token. Only the wording of the error depends on it.
_VOCABULARY = re.compile(r"(embed_tokens|word_embeddings|wte|shared|lm_head|proj_out|embed_in|embed_out|word_embed)\.")


def require_compatible(
    first: str,
    infos: Mapping[str, TensorInfo],
    second: str,
    others: Mapping[str, TensorInfo],
    *,
    allow_dtypes: bool = False,
    floats_only: bool = False,
) -> None:
    """Raise one `CheckpointMismatch` that lists every way in which two checkpoints differ.

    ``first`` and ``second`` are how the message calls them. ``allow_dtypes`` accepts floating-point tensors of
    different widths. ``floats_only`` ignores other tensors, for stored task vectors, which hold none.
    """
    if floats_only:
        infos = {name: info for name, info in infos.items() if info.is_float}
        others = {name: info for name, info in others.items() if info.is_float}
    vocabulary, problems = [], []
    for name, info in infos.items():
        other = others.get(name)
        if other is None:
            problems.append(f"{name} is not in {second}")
        elif info.shape != other.shape:
            shapes = f"{name} is {list(info.shape)} in {first}, {list(other.shape)} in {second}"
            if _is_vocabulary(name, info, other):
                sizes = f"the vocabulary of {first} has {info.shape[0]} entries, that of {second} {other.shape[0]}"
                vocabulary.append(f"{sizes} ({shapes})")
            else:
                problems.append(shapes)
        elif info.dtype != other.dtype and not (allow_dtypes and info.is_float and other.is_float):
            kinds = f"{dtype_name(info.dtype)} in {first}, {dtype_name(other.dtype)} in {second}"
            problems.append(f"{name} is {kinds}")
    problems += [f"{name} is not in {first}" for name in others if name not in infos]
    problems = vocabulary + problems
    if not problems:
        return
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    remedy = "; use checkpoints of one architecture and size"
    if vocabulary:
        remedy = "; use checkpoints with one tokenizer, or set vocabulary (base, union or intersection) in a recipe"
    elif all(_is_width(name, infos, others) for name in {*infos, *others}):
        remedy = (
            "; to combine different floating-point widths say allow_dtypes: true in the recipe "
            "(--set allow_dtypes=true), or pass --allow-dtypes where that is an option"
        )
    raise CheckpointMismatch(f"{first} and {second} cannot be combined: {'; '.join(problems[:SHOWN])}{more}{remedy}")


def require_carried(name: str, holders: Sequence[tuple[str, TensorSource]]) -> None:
    """Raise `CheckpointMismatch` unless all ``holders`` (what messages call them, and what holds the tensor) agree in a
    tensor that cannot be computed with: one of integers or booleans.

    Batch normalisation's count of training batches is exempt: it differs between any two fine-tuned models and is not
    used in inference.
    """
    if name.rpartition(".")[2] == "num_batches_tracked":
        return
    (owner, first), *others = holders
    for other, source in others:
        for start, stop in ranges(first.infos[name].numel, SLICE):
            if not torch.equal(first.read_range(name, start, stop), source.read_range(name, start, stop)):
                raise CheckpointMismatch(
                    f"{name}, which holds no real numbers, differs between {owner} and {other}; "
                    "such a tensor cannot be merged"
                )


def _is_vocabulary(name: str, info: TensorInfo, other: TensorInfo) -> bool:
    same_width = len(info.shape) == len(other.shape) == 2 and info.shape[1] == other.shape[1]
    return same_width and _VOCABULARY.search(name) is not None


def _is_width(name: str, infos: Mapping[str, TensorInfo], others: Mapping[str, TensorInfo]) -> bool:
    """Whether a tensor agrees, or would with ``allow_dtypes``."""
    info, other = infos.get(name), others.get(name)
    if info is None or other is None or info.shape != other.shape:
        return False
    return info.dtype == other.dtype or (info.is_float and other.is_float)
