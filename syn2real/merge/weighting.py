"""Ways in which weighted differences to a base become one: sums, and means of those that agree in sign.

All functions take float64 tensors of one shape, may overwrite them, and return float64.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from syn2real.errors import UserError

Election = Literal["paper", "mergekit", "peft"]


def weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Σ wᵢ·xᵢ, in the first tensor's memory."""
    total = tensors[0]
    if weights[0] != 1.0:
        total.mul_(weights[0])
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total.add_(tensor if weight == 1.0 else tensor.mul_(weight))
    return total


def normalised(weights: Sequence[float], name: str) -> list[float]:
    """Weights that sum to 1. Raises `UserError` when they sum to 0; ``name`` is the tensor's, for the message."""
    total = sum(weights)
    if total == 0:
        raise UserError(f"{name}: the weights sum to 0; pass normalize: false or other weights")
    return [weight / total for weight in weights]


def elected_mean(
    deltas: Sequence[Tensor], weights: Sequence[float], election: Election, *, normalize: bool = True
) -> Tensor:
    """TIES' elect and merge (Yadav et al. 2023, sec. 3): elect a sign for each element, average what agrees with it.

    ``paper``: sign of Σδᵢ, unweighted mean of the agreeing non-zero δᵢ. ``mergekit``: sign of Σwᵢδᵢ, Σwᵢδᵢ ÷ Σwᵢ of the
    agreeing. ``peft``: sign of Σδᵢ where 0 counts as positive, Σwᵢδᵢ ÷ how many agree. Without ``normalize`` nothing is
    divided.
    """
    ones = [1.0] * len(deltas)
    if election == "paper":
        return agreeing_mean(deltas, deltas, ones, divide=normalize)
    weighted = [delta * weight for delta, weight in zip(deltas, weights, strict=True)]
    if election == "mergekit":
        return agreeing_mean(weighted, weighted, weights, divide=normalize)
    return agreeing_mean(weighted, deltas, ones, zero_is_positive=True, divide=normalize)


def agreeing_mean(
    values: Sequence[Tensor],
    votes: Sequence[Tensor],
    shares: Sequence[float],
    *,
    zero_is_positive: bool = False,
    divide: bool = True,
) -> Tensor:
    """Σ valuesᵢ ÷ Σ sharesᵢ over the models whose vote has the sign of Σ votes; 0 where none has.

    Without ``divide`` the sum stays a sum.
    """
    sign = votes[0].clone()
    for vote in votes[1:]:
        sign.add_(vote)
    sign.sign_()
    if zero_is_positive:
        sign[sign == 0] = 1.0
    total, share = torch.zeros_like(sign), torch.zeros_like(sign)
    for value, vote, weight in zip(values, votes, shares, strict=True):
        agrees = vote * sign > 0
        total.add_(value * agrees)
        share.add_(agrees, alpha=weight)
    return total.div_(share.masked_fill_(share == 0, 1.0)) if divide else total
