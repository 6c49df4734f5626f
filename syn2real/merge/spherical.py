"""Geometry on the sphere, from inner products alone: which weights make a point of an arc or a mean of directions.

Every function takes the Gram matrix ⟨θᵢ, θⱼ⟩ (n × n, float64) and returns n weights, so that vectors of any length need
one pass for the products and one for the weighted sum.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_PARALLEL = 1e-6  # radians: below, an arc and its chord agree to 12 digits


def slerp_weights(gram: Tensor, t: float) -> tuple[float, float]:
    """Weights of [sin((1−t)Ω)·v₀ + sin(tΩ)·v₁] / sin Ω (Shoemake 1985).

    Parallel vectors and those beside a zero vector are interpolated linearly. Between antiparallel ones no arc is
    shortest: the nearer end is taken (v₀ at t = ½), so that nothing is erased.
    """
    norms = gram.diagonal().clamp(min=0).sqrt()
    if not norms[0] or not norms[1]:
        return 1 - t, t
    angle = _angle(float(gram[0, 1] / (norms[0] * norms[1])))
    if angle < _PARALLEL:
        return 1 - t, t
    if math.pi - angle < _PARALLEL:
        return (1.0, 0.0) if t <= 0.5 else (0.0, 1.0)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def karcher_weights(gram: Tensor, weights: Sequence[float], *, steps: int, tolerance: float) -> list[float]:
    """Weights of the Karcher mean of the directions, as long as the weighted mean of the norms.

    Gradient descent on the sphere (Karcher 1977): m ← exp_m(Σ wᵢ log_m(uᵢ)), from the normalised Σ wᵢuᵢ, until the step
    is below ``tolerance`` radians. One step is the tangent-space mean of multi-SLERP. Zero vectors have no direction
    and only shorten the result. Directions that cancel out leave nothing to start from: the weighted sum is returned.
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
    if size < 1e-9:
        return shares.tolist()
    mean = mean / size
    for _ in range(steps):
        cosines = (unit @ mean).clamp(-1, 1)
        angles = torch.arccos(cosines)
        sines = torch.sin(angles)
        # log_m(u) = (u − m·cos) · angle / sin; the factor is 1 where u and m coincide.
        factors = torch.where(sines > 1e-12, angles / sines.clamp(min=1e-12), 1.0) * shares * alive
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


def _angle(cosine: float) -> float:
    """The angle of a cosine that rounding may have pushed out of [−1, 1], exact near 0 and π alike."""
    return 2 * math.atan2(math.sqrt(max(0.0, 1 - cosine)), math.sqrt(max(0.0, 1 + cosine)))
