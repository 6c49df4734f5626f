"""Merging task vectors without interference of signs."""

from collections.abc import Iterable, Sequence
from typing import Any

from syn2real.errors import UserError
from syn2real.merge.method import PerModel, method
from syn2real.merge.selection import Cut, largest
from syn2real.merge.stack import Stack
from syn2real.merge.sums import SparseSum
from syn2real.merge.trimming import Magnitudes, Trim, cuts, kept, require_share
from syn2real.merge.weighting import Election


@method("ties", base="required")
def ties(
    stack: Stack,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (0.2,),
    scale: float = 1.0,
    normalize: bool = True,
    variant: Election = "mergekit",
    shared: Any = None,
) -> SparseSum:
    """TIES: keep the largest ``density`` of each δᵢ = θᵢ − θ₀, elect a sign by element, average what agrees; add to θ₀.

    Variants: ``paper`` trims over the whole model and averages without weights (they must be 1); ``mergekit`` (default)
    trims each tensor, elects by Σwᵢδᵢ and divides by the Σwᵢ of the agreeing; ``peft`` trims each tensor, elects by Σδᵢ
    with 0 as positive and divides by how many agree. ``normalize: false`` divides by nothing. Exactly ⌊density·n⌋
    elements stay (one at least); of equals the earliest. Source: Yadav et al. 2023 (arXiv 2306.01708).
    """
    chosen = shared if variant == "paper" else _by_tensor(stack, density)
    left = chosen.here(stack) if isinstance(chosen, Global) else chosen

    return SparseSum(stack, Trim(left), weight, scale, variant, normalize)


@ties.share
def global_cuts(stacks: Iterable[Stack], *, weight: Any, density: Any, variant: str, **_: Any) -> Any:
    """The paper's trim: one threshold for each model over all of its tensors. None for the other variants."""
    if variant != "paper":
        return None
    stacks = list(stacks)
    density = list(density)
    if any(w != 1 for w in weight):
        raise UserError("ties: variant paper takes no weights; use variant mergekit or peft")
    require_share("density", density)
    total = sum(stack.numel for stack in stacks)
    found = [largest(Magnitudes(stacks, i), total, kept(share, total)) for i, share in enumerate(density)]
    return Global(stacks, found)


class Global:
    """Cuts over the whole model. Of elements that equal a threshold the first are kept, in the order of tensors."""

    def __init__(self, stacks: list[Stack], found: list[Cut]) -> None:
        self._by_name: dict[str, list[Cut]] = {stack.name: [] for stack in stacks}
        for i, cut in enumerate(found):
            left = cut.ties
            for stack in stacks:
                here = min(left, _equal(stack, i, cut.value)) if left else 0
                left -= here
                self._by_name[stack.name].append(Cut(cut.value, here))

    def here(self, stack: Stack) -> list[Cut]:
        """Each model's cut in one tensor."""
        return self._by_name[stack.name]


def _equal(stack: Stack, model: int, value: float) -> int:
    return sum(found.at_high for found in Magnitudes([stack], model).screen(value, value))


def _by_tensor(stack: Stack, density: Sequence[float]) -> list[Cut]:
    require_share("density", density)
    return cuts(stack, [kept(share, stack.numel) for share in density])
