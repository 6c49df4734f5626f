"""Random sparsification that spares large elements."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge import kernels
from syn2real.merge.method import PerModel, method
from syn2real.merge.norms import norm_keeping
from syn2real.merge.ranks import ByRank, kept_by_rank, placed_by_rank
from syn2real.merge.stack import Block, Stack
from syn2real.merge.sums import SparseSum
from syn2real.merge.trimming import chances, limits, require_share, rounded
from syn2real.merge.weighting import normalised, scaled

Window = Literal["paper", "mergekit"]
_NOTED = 1 << 27  # elements of a tensor whose masks are kept for a second pass: 16 MB for each model


@method("della_linear", base="required")
def della_linear(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    epsilon: PerModel = (0.1,),
    scale: float = 1.0,
    normalize: bool = False,
    rescale: bool = True,
    variant: Window = "paper",
) -> SparseSum:
    """DELLA's dropping (see ``della``) with a plain weighted sum instead of an election of signs."""
    weights = normalised(weight, stack.name, wanted=normalize)
    return SparseSum(stack, _Choice(stack, density, epsilon, variant, rescale), weights, scale)


@method("della", base="required")
def della(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.5,),
    epsilon: PerModel = (0.1,),
    scale: float = 1.0,
    normalize: bool = True,
    rescale: bool = True,
    variant: Window = "paper",
    election: Literal["mergekit", "peft"] = "mergekit",
) -> SparseSum:
    """DELLA: within each row, drop elements with a probability that falls with their rank by magnitude; then TIES.

    pₖ rises linearly over the n ranks of a row from the largest element to the smallest, around 1 − density: from −ε/2
    to +ε/2 (``paper``), or from −ε to +ε (``mergekit``). Kept elements are rescaled by 1/(1 − pₖ), or so that the
    tensor keeps its L1 norm (``mergekit``), or not at all (``rescale: false``). A tensor with one dimension is one row.
    Source: Deep et al. 2024 (arXiv 2406.11617).
    """
    return SparseSum(stack, _Choice(stack, density, epsilon, variant, rescale), weight, scale, election, normalize)


class _Choice:
    """Which elements are kept, and what they are multiplied by: a `Choice`."""

    rows = True

    def __init__(
        self, stack: Stack, density: Sequence[float], epsilon: Sequence[float], variant: Window, rescale: bool
    ) -> None:
        _check(density, epsilon, variant)
        self._stack = stack
        self._density = density
        self._half = [width / 2 if variant == "paper" else width for width in epsilon]
        self._masks: dict[tuple[int, int], np.ndarray] = {}  # as bits, by block and model: ranking takes long
        self._factors: Sequence[float] | None = None  # None: each element by its own 1/(1 − pₖ)
        self._noting = False
        if not rescale or variant == "mergekit":
            self._factors = [1.0] * len(stack)
        if rescale and variant == "mergekit" and stack.numel:
            self._noting = stack.numel <= _NOTED
            self._factors = norm_keeping(stack, self, self._mask)
            self._noting = False

    def dropped(self, block: Block) -> list[Tensor]:
        """See `Choice.dropped`."""
        deltas = block.deltas()
        for i, (delta, share) in enumerate(zip(deltas, self._density, strict=True)):
            if self._factors is None and 0 < share < 1:
                found = placed_by_rank(delta, None, self._stack.row, self._by_rank(i).limits)
                kept = self._stack.kept(i, block.start, block.start + len(found), found)
                delta.mul_(kept).div_(chances(torch.from_numpy(found), delta))
                continue
            mask = self._mask(block, i, delta)
            if mask is not None:
                delta.mul_(mask)
            scaled(delta, 1.0 if self._factors is None else self._factors[i])
        return deltas

    def rule(self, part: kernels.Part, i: int, start: int, model: Tensor, base: Tensor) -> Any:
        """See `Choice.rule`."""
        share = self._density[i]
        factor = 1.0 if self._factors is None else self._factors[i]
        part.factor = factor if share else 0.0 * factor  # NaN stays NaN
        if share in (0, 1):
            return None
        if self._factors is None:
            found = placed_by_rank(model, base, self._stack.row, self._by_rank(i).limits)
            part.rule, part.seed, part.limits = kernels.RESCALED, self._stack.stream(i), found.ctypes.data
            return found
        mask = self._kept(i, start, model, base)
        part.rule, part.mask = kernels.MASKED, mask.ctypes.data
        return mask

    def _mask(self, block: Block, i: int, delta: Tensor) -> Tensor | None:
        """What is multiplied with a difference; None: nothing."""
        if self._density[i] in (0, 1):
            return None if self._density[i] else torch.zeros_like(delta)
        return torch.from_numpy(self._kept(i, block.start, delta)).to(delta.device).to(delta.dtype)

    def _kept(self, i: int, start: int, model: Tensor, base: Tensor | None = None) -> np.ndarray:
        """1 for each element of model − base that is kept, 0 elsewhere: uint8."""
        noted = self._masks.pop((start, i), None)
        if noted is not None:
            return np.unpackbits(noted, count=model.numel())
        mask = kept_by_rank(model, base, self._stack.row, self._by_rank(i), self._stack.stream(i), start)
        if self._noting:
            self._masks[start, i] = np.packbits(mask)
        return mask

    def _by_rank(self, i: int) -> ByRank:
        share, half = self._density[i], self._half[i]
        return _by_rank(share - half, share + half, self._stack.row)


def _check(density: Sequence[float], epsilon: Sequence[float], variant: Window) -> None:
    require_share("density", density)
    for share, width in zip(density, epsilon, strict=True):
        if not width >= 0:
            raise UserError(f"della: epsilon must be 0 or more, not {width:g}")
        half = width / 2 if variant == "paper" else width
        if 0 < share < 1 and not (share - half > 0 and share + half <= 1):
            raise UserError(f"della: epsilon {width} takes density {share} out of (0, 1]; choose a smaller epsilon")


@lru_cache(maxsize=4)
def _by_rank(least: float, most: float, count: int) -> ByRank:
    """The `limits` of a row's elements, from the smallest to the largest."""
    return ByRank(limits(rounded(np.linspace(least, most, count) if count > 1 else np.array([(least + most) / 2]))))
