"""Geometry on the sphere, from inner products alone: which weights make a point of an arc or a mean of directions.

Every function takes the Gram matrix ⟨θᵢ, θⱼ⟩ (n × n, float64) and returns n weights, so that vectors of any length need
one pass for the products and one for the weighted sum.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_PARALLEL = 1e-6  # radians: below, an arc and its chord agree to 12 digits
_CANCELLED = 1e-6  # length of a sum of unit vectors; of what rounding leaves of 0 the root is 1e-8


def slerp_weights(gram: Tensor, t: float) -> tuple[float, float]:
    """Weights of [sin((1−t)Ω)·v₀ + sin(tΩ)·v₁] / sin Ω (Shoemake 1985).

    Parallel vectors and those beside a zero vector are interpolated linearly. Between antiparallel ones no arc is
    shortest: the nearer end is taken (v₀ at t = ½), so that nothing is erased.
    """
    first, second = slerp_weights_each(torch.stack([gram[0, 0], gram[1, 1], gram[0, 1]]), t)
    return float(first), float(second)


def slerp_weights_each(products: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """`slerp_weights` of many pairs: of ‖v₀‖², ‖v₁‖² and ⟨v₀, v₁⟩, stacked; shape (3, …) in, (…) out."""
    first, second, inner = products
    sizes = first.clamp(min=0).sqrt() * second.clamp(min=0).sqrt()
    cosine = torch.where(sizes > 0, inner / sizes, 1.0).clamp(-1, 1)
    # Exact near 0 and π alike, which arccos is not.
    angle = 2 * torch.atan2((1 - cosine).sqrt(), (1 + cosine).sqrt())
    sine = torch.sin(angle)
    weights = []
    for share, nearer in ((1 - t, float(t <= 0.5)), (t, float(t > 0.5))):
        arc = torch.sin(share * angle) / sine
        arc = torch.where(math.pi - angle < _PARALLEL, nearer, arc)
        weights.append(torch.where(angle < _PARALLEL, share, arc))
    return weights[0], weights[1]


def karcher_weights(gram: Tensor, weights: Sequence[float], *, steps: int, tolerance: float) -> list[float]:
    """Weights of the Karcher mean of the directions, as long as the weighted mean of the norms.

    Gradient descent on the sphere (Karcher 1977): m ← exp_m(Σ wᵢ log_m(uᵢ)), from the normalised Σ wᵢuᵢ, until the step
    is below ``tolerance`` radians. One step is the tangent-space mean of multi-SLERP. Zero vectors have no direction
    and only shorten the result. So do those opposite to the mean, from which every way to it is as short. Directions
    that cancel out leave nothing to start from: the weighted sum is returned.
    """
    norms = gram.diagonal().clamp(min=0).sqrt()
    shares = torch.tensor(list(weights), dtype=torch.float64)
    shares = shares / shares.sum()
    length = float((shares * norms).sum())
    alive = norms > 0
    inverse = torch.where(alive, 1 / norms.masked_fill(~alive, 1.0), 0.0)
    unit = gram * inverse[:, None] * inverse[None, :]  # cosines
    mean = shares * inverse.bool()  # coefficients over the unit vectors
    size = _norm(mean, unit)
    if size < _CANCELLED:
        return shares.tolist()
    mean = mean / size
    for _ in range(steps):
        cosines = (unit @ mean).clamp(-1, 1)
        angles = torch.arccos(cosines)
        # log_m(u) = (u − m·cos) · angle / sin; the factor is 1 where u and m coincide.
        same, opposite = angles < _PARALLEL, math.pi - angles < _PARALLEL
        bent = angles / torch.sin(angles).clamp(min=_PARALLEL / 2)
        factors = torch.where(same, 1.0, torch.where(opposite, 0.0, bent)) * shares * alive
        tangent = factors - mean * float((factors * cosines).sum())
        step = _norm(tangent, unit)
        if step < 1e-15:
            break
        mean = mean * math.cos(step) + tangent * (math.sin(step) / step)
        mean = mean / _norm(mean, unit)
        if step < tolerance:
            break
    return (mean * inverse * length).tolist()


def _norm(coefficients: Tensor, unit: Tensor) -> float:
    return math.sqrt(max(0.0, float(coefficients @ unit @ coefficients)))
