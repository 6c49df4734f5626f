"""Ways in which weighted differences to a base become one: sums, and means of those that agree in sign.

All functions take float64 tensors of one shape, may overwrite them, and return float64.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge import kernels

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
    if abs(total) <= cancelled(weights):
        raise UserError(f"{name}: the weights sum to 0; give others (a sum takes normalize: false)")
    return [weight / total for weight in weights]


def cancelled(weights: Sequence[float]) -> float:
    """How far from 0 the sum of weights may be that cancel out but for rounding, as 0.1 + 0.2 − 0.3 do."""
    return 1e-12 * sum(map(abs, weights))


def elected_mean(
    deltas: Sequence[Tensor], weights: Sequence[float], election: Election, *, normalize: bool = True
) -> Tensor:
    """TIES' elect and merge (Yadav et al. 2023, sec. 3): elect a sign for each element, average what agrees with it.

    ``paper``: sign of Σδᵢ, unweighted mean of the agreeing non-zero δᵢ. ``mergekit``: sign of Σwᵢδᵢ, Σwᵢδᵢ ÷ Σwᵢ of the
    agreeing. ``peft``: sign of Σδᵢ where 0 counts as positive, Σwᵢδᵢ ÷ how many agree. Without ``normalize`` nothing is
    divided.
    """
    rule = ballot(weights, election)
    pairs = zip(deltas, rule.weights, strict=True)
    if rule.unweighted:
        values, votes = [delta * weight for delta, weight in pairs], deltas
    else:
        values = votes = [delta if weight == 1.0 else delta.mul_(weight) for delta, weight in pairs]
    return agreeing_mean(values, votes, rule.shares, zero_is_positive=rule.zero_is_positive, divide=normalize)


class Ballot(NamedTuple):
    """An election's rules: what values are multiplied by, and what the agreeing's sum is divided by the sum of; whether
    votes are values without their weights, and whether a sum of votes of 0 is positive."""

    weights: Sequence[float]
    shares: Sequence[float]
    unweighted: bool
    zero_is_positive: bool


def ballot(weights: Sequence[float], election: Election) -> Ballot:
    """See `elected_mean`."""
    ones = [1.0] * len(weights)
    if election == "paper":
        return Ballot(ones, ones, False, False)
    if election == "mergekit":
        return Ballot(weights, weights, False, False)
    return Ballot(weights, ones, True, True)


def least_share(shares: Sequence[float]) -> float:
    """What a sum of shares is raised to, so that nothing is divided by 0; 0 where a share is negative."""
    return min((share for share in shares if share > 0), default=1.0) if min(shares) >= 0 else 0.0


def agreeing_mean(
    values: Sequence[Tensor],
    votes: Sequence[Tensor],
    shares: Sequence[float],
    *,
    zero_is_positive: bool = False,
    divide: bool = True,
) -> Tensor:
    """Σ valuesᵢ ÷ Σ sharesᵢ over the models whose vote has the sign of Σ votes; 0 where none has.

    A sum of shares that cancel out counts as 1. Without ``divide`` the sum stays a sum.
    """
    least = least_share(shares)
    wide = all(tensor.dtype == torch.float64 for tensor in (*values, *votes))
    if wide and len(values) <= kernels.MOST and kernels.taken(*values, *votes):
        how = kernels.Election(least, cancelled(shares), zero_is_positive, divide)
        return kernels.agreeing_mean(values, votes, shares, how)
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
    if least:
        share.clamp_min_(least)
    else:
        share[share.abs() <= cancelled(shares)] = 1.0
    return total.div_(share)
