"""Random sparsification of task vectors."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from syn2real.merge import kernels
from syn2real.merge.method import PerModel, method
from syn2real.merge.norms import norm_keeping
from syn2real.merge.stack import Block, Stack
from syn2real.merge.sums import SparseSum
from syn2real.merge.trimming import limits, require_share, rounded
from syn2real.merge.weighting import normalised, scaled

Rescale = Literal["paper", "mergekit"]


@method("dare_linear", base="required")
def dare_linear(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    scale: float = 1.0,
    normalize: bool = False,
    rescale: bool = True,
    variant: Rescale = "paper",
) -> SparseSum:
    """DARE: drop each element of δᵢ with probability p = 1 − density, rescale the rest by 1/(1 − p), sum; θ₀ + λ·that.

    ``variant: mergekit`` rescales so that the tensor keeps its L1 norm instead, ``rescale: false`` not at all.
    ``normalize`` divides the weights by their sum. Source: Yu et al. 2024
    (arXiv 2311.03099).
    """
    weights = normalised(weight, stack.name, wanted=normalize)
    return SparseSum(stack, _Choice(stack, density, variant, rescale), weights, scale)


@method("dare_ties", base="required")
def dare_ties(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    scale: float = 1.0,
    normalize: bool = True,
    rescale: bool = True,
    variant: Rescale = "paper",
    election: Literal["mergekit", "peft"] = "mergekit",
) -> SparseSum:
    """DARE's dropping with TIES' election of signs instead of a plain sum; see ``dare_linear`` and ``ties``."""
    return SparseSum(stack, _Choice(stack, density, variant, rescale), weight, scale, election, normalize)


class _Choice:
    """Which elements are kept, and what they are multiplied by: a `Choice`."""

    rows = False

    def __init__(self, stack: Stack, density: Sequence[float], variant: Rescale, rescale: bool) -> None:
        require_share("density", density)
        self._stack = stack
        self._shares = [float(rounded(share)) for share in density]
        self._factors: Sequence[float] = [1.0] * len(stack)
        if rescale and (variant == "paper" or not stack.numel):
            self._factors = [1 / share if share else 0.0 for share in self._shares]
        elif rescale:
            self._factors = norm_keeping(stack, self, self._keep)  # with factors of 1, as they are yet

    def dropped(self, block: Block) -> list[Tensor]:
        """See `Choice.dropped`."""
        deltas = block.deltas()
        for i, (delta, factor) in enumerate(zip(deltas, self._factors, strict=True)):
            keep = self._keep(block, i, delta)
            scaled(delta if keep is None else delta.mul_(keep), factor)
        return deltas

    def rule(self, part: kernels.Part, i: int, start: int, model: Tensor, base: Tensor) -> Any:
        """See `Choice.rule`."""
        share = self._shares[i]
        part.factor = self._factors[i] if share else 0.0 * self._factors[i]  # NaN stays NaN
        if share in (0, 1):
            return None
        limit = np.array(limits(share))
        part.rule, part.seed, part.limits = kernels.DRAWN, self._stack.stream(i), limit.ctypes.data
        return limit

    def _keep(self, block: Block, i: int, delta: Tensor) -> Tensor | None:
        """1 for each element that is kept and 0 elsewhere; None: all are."""
        share = self._shares[i]
        if share in (0, 1):
            return None if share else torch.zeros_like(delta)
        return self._stack.kept(i, block.start, block.start + delta.numel(), limits(share))
