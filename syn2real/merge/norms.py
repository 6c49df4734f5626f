"""What a random choice of differences is multiplied by, so that a tensor keeps its L1 norm."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge import kernels
from syn2real.merge.stack import NO_BASE, Block, Stack
from syn2real.merge.sums import Choice, described
from syn2real.merge.tensors import ranges

STRETCH = 1 << 19  # elements that compiled loops go over at a time


def norm_keeping(stack: Stack, choice: Choice, keep: Callable[[Block, int, Tensor], Tensor | None]) -> list[float]:
    """For every model, what its kept differences are multiplied by so that Σ|δ| stays what it was.

    ``keep(block, model, delta)`` is 1 for each element that is kept and 0 elsewhere; None: all are. The ``choice``
    tells compiled loops the same, but for a factor. On the processor the sums know nothing of blocks. Raises
    `UserError` where there is no base, and `ValueError` for tensors of several lengths.
    """
    if not stack.has_base:
        raise UserError(NO_BASE)
    whole, kept = np.zeros((2, len(stack), kernels.LANES))
    if stack.plain and kernels.built():
        parts = (kernels.Part * len(stack))()
        for part in parts:
            part.factor = 1.0
        for start, stop in stack.stretches(rows=True) if choice.rows else ranges(stack.numel, STRETCH):
            base, pointed_to = described(stack, choice, parts, start, stop)
            for i, part in enumerate(parts):
                kernels.norms(whole[i], kept[i], start, base, part)
            del pointed_to  # not before
    else:
        for block in stack.blocks(rows=choice.rows):
            for i, delta in enumerate(block.deltas()):
                mask = keep(block, i, delta)
                sizes = delta.abs_()
                _add(whole[i], sizes, block.start)
                if mask is None:
                    kept[i] = whole[i]
                else:
                    _add(kept[i], sizes.mul_(mask), block.start)
    sums = [(_total(a), _total(b)) for a, b in zip(whole, kept, strict=True)]
    return [a / b if b else 0.0 for a, b in sums]


def _add(lanes: np.ndarray, values: Tensor, first: int) -> None:
    """To lane k, in order, the ``values`` whose number, from ``first`` on, is k modulo lanes."""
    if values.device.type != "cpu":
        lanes[0] += float(values.sum(dtype=torch.float64))
    elif kernels.taken(values) and values.dtype == torch.float64:
        kernels.add_up(lanes, values, first)
    else:
        place = first % len(lanes)
        padded = np.zeros(-(-(place + len(values)) // len(lanes)) * len(lanes))
        padded[place : place + len(values)] = values.double().numpy()
        lanes[:] = np.add.reduce(np.vstack([lanes, padded.reshape(-1, len(lanes))]), axis=0)  # row by row


def _total(lanes: np.ndarray) -> float:
    try:
        return math.fsum(lanes)
    except OverflowError:
        return math.inf
