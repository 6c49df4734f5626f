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


def scaled(tensor: Tensor, scale: float) -> Tensor:
    """λ·x, in place."""
    return tensor if scale == 1.0 else tensor.mul_(scale)


def normalised(weights: Sequence[float], name: str, *, wanted: bool = True) -> Sequence[float]:
    """Weights that sum to 1, or as they are unless that is ``wanted``.

    Raises `UserError` when they sum to 0; ``name`` is the tensor's, for the message.
    """
    if not wanted:
        return weights
    total = sum(weights)
    if total == 0:
        raise UserError(f"{name}: the weights sum to 0; give others (or normalize: false, where the method has it)")
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
    if election == "mergekit":
        weighted = _weighted(deltas, weights)
        return agreeing_mean(weighted, weighted, weights, divide=normalize)
    weighted = [delta * weight for delta, weight in zip(deltas, weights, strict=True)]
    return agreeing_mean(weighted, deltas, ones, zero_is_positive=True, divide=normalize)


def _weighted(tensors: Sequence[Tensor], weights: Sequence[float]) -> list[Tensor]:
    pairs = zip(tensors, weights, strict=True)
    return [tensor if weight == 1.0 else tensor.mul_(weight) for tensor, weight in pairs]


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
    # Masks are 0.0 and 1.0: torch compares and multiplies those ten times as fast as booleans.
    sign = votes[0].clone() if len(votes) == 1 else votes[0] + votes[1]
    for vote in votes[2:]:
        sign.add_(vote)
    sign.sign_()
    if zero_is_positive:
        sign.add_(torch.eq(sign, 0.0, out=torch.empty_like(sign)))
    agree = [torch.mul(vote, sign, out=sign if vote is votes[-1] else None).gt_(0.0) for vote in votes]
    for value, agrees in zip(values, agree, strict=True):
        value.mul_(agrees)
    total = weighted_sum(values, [1.0] * len(values))
    if not divide:
        return total
    share = weighted_sum(agree, shares)
    if min(shares) >= 0:
        share.clamp_min_(min((weight for weight in shares if weight > 0), default=1.0))
    else:
        share[share == 0] = 1.0
    return total.div_(share)
