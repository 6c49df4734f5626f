"""Which elements of a difference to the base are kept: the largest, a band of magnitudes, or a random share."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge import kernels
from syn2real.merge.selection import Cut, Screened, largest, screened
from syn2real.merge.stack import NO_BASE, Block, Stack
from syn2real.merge.tensors import ranges

_READ = 1 << 20  # elements that a sample is taken from at a time
_SCREENED = 1 << 19  # elements screened at a time: one or two megabytes, but in float64
_LEVELS = 1 << 16  # of chance; see `Stack.draws`


def require_share(name: str, values: Sequence[float]) -> None:
    """Raise `UserError` unless all values of parameter ``name`` lie in [0, 1]."""
    for value in values:
        if not 0 <= value <= 1:
            raise UserError(f"{name}: {value} is not between 0 and 1")


def kept(density: float, count: int) -> int:
    """How many of ``count`` elements a density keeps: rounded down, but one at least unless the density is 0."""
    return max(1, int(density * count)) if density > 0 and count else 0


class Magnitudes:
    """|θᵢ − θ₀| of one model over several tensors, as a `selection.Series`. Raises `UserError` for NaN."""

    def __init__(self, stacks: Sequence[Stack], model: int) -> None:
        if not all(stack.has_base for stack in stacks):
            raise UserError(NO_BASE)
        self._stacks = [stack.only(model) for stack in stacks]

    def sample(self, stride: int) -> np.ndarray:
        """See `Series.sample`."""
        parts, seen = [np.empty(0)], 0
        for stack in self._stacks:
            for start, stop in ranges(stack.numel, _READ):
                model, base = stack.read(start, stop)
                first = (-seen) % stride
                if kernels.taken(model, base):
                    part = kernels.sample(model, base, first, stride)
                else:
                    pair = [values[first::stride].double() for values in (model, base)]
                    part = torch.sub(*pair).abs_().cpu().numpy()
                if np.isnan(part).any():
                    raise _nan(stack)
                parts.append(part)
                seen += stop - start
        return np.concatenate(parts)

    def screen(self, low: float, high: float) -> Iterator[Screened]:
        """See `Series.screen`.

        By the bits of differences in float32 or the inputs' own dtype, which order as the numbers do: rounding keeps
        the order, so what lies above or below the rounded bounds does so unrounded. The rest is computed in float64.
        """
        for stack in self._stacks:
            bounds: dict[torch.dtype, tuple[int, int, int]] = {}
            for start, stop in ranges(stack.numel, _SCREENED):
                model, base = stack.read(start, stop)
                if stack.plain and kernels.taken(model, base):
                    found, within = kernels.screen(model, base, low, high)
                    if found.unordered:
                        raise _nan(stack)
                    yield Screened(found.above, found.at_high, found.at_low, within)
                    continue
                if not stack.plain:
                    pair = [values.to(stack.device).to(stack.dtype) for values in (model, base)]
                    yield screened(torch.sub(*pair).abs_(), low, high)
                    continue
                rounded = torch.sub(*(values.float() if values.itemsize == 1 else values for values in (model, base)))
                if rounded.dtype not in bounds:
                    bounds[rounded.dtype] = tuple(
                        _bits(torch.tensor([max(low, 0), high, np.inf], dtype=torch.float64).to(rounded.dtype)).tolist()
                    )
                below, beyond, infinite = bounds[rounded.dtype]
                bits = _bits(rounded)
                if bits.max(initial=0) > infinite:
                    raise _nan(stack)
                above = int(np.count_nonzero(bits > beyond))
                bits -= below  # negative where below: without a sign, larger than all others
                chosen = torch.from_numpy(np.flatnonzero(bits.view(f"u{bits.dtype}") <= beyond - below))
                pair = [values.index_select(0, chosen).double() for values in (model, base)]
                yield Screened.of(torch.sub(*pair).abs_().numpy(), low, high, above)


def _bits(values: Tensor) -> np.ndarray:
    """Numbers as integers of the same width, without their signs, in place: these order as magnitudes do."""
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[values.dtype.itemsize]
    bits = values.view(kind).numpy()
    bits &= torch.iinfo(kind).max
    return bits


def _nan(stack: Stack) -> UserError:
    return UserError(f"{stack.name}: a difference to the base is NaN, which has no magnitude; mend the checkpoint")


def cuts(stack: Stack, keep: Sequence[int]) -> list[Cut]:
    """For every model, the cut that keeps its ``keep`` largest differences."""
    return [largest(Magnitudes([stack], i), stack.numel, k) for i, k in enumerate(keep)]


class Trim:
    """The `Choice` of what one cut for each model keeps, but for what its ``outer`` cut would keep, if there is one."""

    rows = False

    def __init__(self, cuts: Sequence[Cut], outer: Sequence[Cut] = ()) -> None:
        self._cuts = cuts
        self._outer = outer
        self._left: list[int] = []  # of each model's ties, in the blocks to come
        self._outside: list[int] = []  # likewise of the outer cut's

    def dropped(self, block: Block) -> list[Tensor]:
        """See `Choice.dropped`."""
        if not block.start:
            self._left, self._outside = ([cut.ties for cut in cuts] for cuts in (self._cuts, self._outer))
        deltas = block.deltas()
        for i, delta in enumerate(deltas):
            deltas[i], self._left[i] = self._cuts[i].trim(delta, self._left[i])
            if self._outer:
                outliers, self._outside[i] = self._outer[i].trim(delta, self._outside[i])
                deltas[i] = deltas[i] - outliers
        return deltas

    def rule(self, part: kernels.Part, i: int, start: int, model: Tensor, base: Tensor) -> None:
        """See `Choice.rule`."""
        if start:  # what is left counts on
            return
        part.rule, part.cut, part.left = kernels.TRIMMED, self._cuts[i].value, self._cuts[i].ties
        if self._outer:
            part.rule, part.outer, part.outside = kernels.BANDED, self._outer[i].value, self._outer[i].ties


def rounded(share: np.ndarray | float) -> np.ndarray:
    """The multiples of 2⁻¹⁶ next to shares in [0, 1] with which elements can be kept; not 0 unless they are 0."""
    return np.maximum(np.rint(np.asarray(share) * _LEVELS), np.sign(share)) / _LEVELS


def limits(share: np.ndarray | float) -> np.ndarray:
    """The largest of `Stack.draws` with which an element is kept, for shares that are `rounded` and not 0: int16."""
    return (np.asarray(share) * _LEVELS - (_LEVELS // 2 + 1)).astype(np.int16)


def chances(limits: Tensor, like: Tensor) -> Tensor:
    """The shares of which ``limits`` are, in the dtype and on the device of ``like``."""
    return limits.to(like.device).to(like.dtype).add_(_LEVELS // 2 + 1).div_(_LEVELS)
