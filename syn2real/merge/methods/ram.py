"""Averaging what several models changed, and keeping whole what a single one did."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.method import method
from syn2real.merge.stack import Block, Stack


@method("ram", base="required")
def ram(stack: Stack, *, epsilon: float = 1e-5) -> Iterator[Tensor]:
    """RAM: θ₀ + Σδᵢ/n over the n models that changed an element, |δᵢ| > ε; what none has changed stays.

    An average over all models would divide what one of them alone has learnt by their number. Source: Reinforced Agent
    Merging, Yuan et al. 2026 (arXiv 2601.13572).
    """
    _require(epsilon=epsilon)
    return stack.map(lambda block: _averaged(block, epsilon, [1.0] * len(stack)))


@method("ram_plus", base="required")
def ram_plus(
    stack: Stack,
    *,
    epsilon: float = 1e-5,
    r: float = 0.1,
    alpha: float = 0.2,
    variant: Literal["paper", "mergekit"] = "paper",
    shared: Any = None,
) -> Iterator[Tensor]:
    """RAM+: as RAM, and what model i alone has changed is multiplied by 1 + r·min(ρᵢ, α).

    ρᵢ = how many of its changed elements others changed too, by how many it alone did: it makes up for what the average
    takes from the former. It is counted over the whole model (``paper``) or in each tensor (``mergekit``, whose name
    for it is ramplus_tl). Source: Yuan et al. 2026 (arXiv 2601.13572).
    """
    _require(epsilon=epsilon, r=r, alpha=alpha)
    counts = shared if variant == "paper" else _counts([stack], epsilon)
    factors = [1 + r * min(common / max(own, 1), alpha) for common, own in counts]
    return stack.map(lambda block: _averaged(block, epsilon, factors))


@ram_plus.share
def whole_counts(stacks: Iterable[Stack], *, epsilon: float, variant: str, **_: Any) -> Any:
    """The paper's counts, over all tensors. None for the other variant."""
    return _counts(stacks, epsilon) if variant == "paper" else None


def _require(**given: float) -> None:
    for name, value in given.items():
        if not value >= 0:
            raise UserError(f"{name} must be 0 or more, not {value:g}")


def _counts(stacks: Iterable[Stack], epsilon: float) -> list[tuple[int, int]]:
    """For each model: the elements that it and others have changed, and those that it alone has."""

    def found(block: Block) -> Tensor:
        changed = torch.stack([delta.abs() > epsilon for delta in block.deltas()])
        alone = changed.sum(0) == 1
        return torch.stack([(changed & ~alone).sum(1), (changed & alone).sum(1)], 1)

    counts = sum(stack.sum(found) for stack in stacks if stack.numel)
    return [(int(common), int(own)) for common, own in counts.tolist()] if isinstance(counts, Tensor) else []


def _averaged(block: Block, epsilon: float, factors: Sequence[float]) -> Tensor:
    """A block of the merge; ``factors`` are for what each model alone has changed."""
    deltas = block.deltas()
    changed = [delta.abs() > epsilon for delta in deltas]
    number = torch.stack(changed).sum(0)
    total = torch.zeros_like(deltas[0])
    for delta, mask, factor in zip(deltas, changed, factors, strict=True):
        delta.mul_(mask)  # NaN stays NaN
        total.add_(torch.where(number == 1, delta * factor, delta) if factor != 1 else delta)
    return block.on_base(total.div_(number.clamp_(min=1)))
