"""Sums of the same three models: tuned on real source speech, on its synthetic twin, and on the target's text, spoken.

    syn2real       θ_syn^T + λ(θ_real^S − θ_syn^S)     what is real about speech, added to the target's text
    text-on-real   θ_real^S + λ(θ_syn^T − θ_syn^S)     what the text teaches, added to real speech
    average        θ_syn^T + λ(θ_real^S − θ_syn^T)     as WiSE-FT interpolates (Wortsman et al. 2022, arXiv 2109.01903)

They meet: at λ = 0 the first and the last are θ_syn^T, at λ = 1 the first two are the same, and so are `average` at 1
and `text-on-real` at 0. All are θ_syn^T + u(θ_real^S − θ_syn^S) − v(θ_syn^T − θ_syn^S), the three sides of a triangle
in the plane of u, how much that is real is added, and v, how much of what the text taught is taken back. Which side is
best depends on the domain: where the text teaches little and real speech much, those that lean on θ_real^S.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from syn2real.experiments.pipeline import Blend, Difference
from syn2real.experiments.recipe import Sum
from syn2real.experiments.results import CurvePoint, likely_scale
from syn2real.experiments.stages import Stage


@dataclass(frozen=True)
class Trio:
    """What gives θ_real^S, θ_syn^S and θ_syn^T: a model that a sum does not need is not made."""

    real: Callable[[], Stage]
    synthetic: Callable[[], Stage]
    target: Callable[[], Stage]

    def blend(self, way: Sum) -> Blend:
        """One of the sums, as a model and what is added to it λ times."""
        match way:
            case "syn2real":
                return Blend(self.target(), Difference.between(self.real(), self.synthetic()))
            case "text-on-real":
                return Blend(self.real(), Difference.between(self.target(), self.synthetic()))
            case "average":
                return Blend(self.target(), Difference.between(self.real(), self.target()))


def tried(system: str, grid: Sequence[float]) -> tuple[float, ...]:
    """Those λ of a grid that are tried of a system: an average lies between its two models."""
    return tuple(scale for scale in grid if system != "average" or 0 <= scale <= 1)


def likely_sum(curves: Mapping[Sum, Sequence[CurvePoint]]) -> tuple[Sum, float]:
    """The sum and its λ, of all tried, at which the quadratic surface over (u, v) that fits the errors best is lowest.

    What `likely_scale` is for one λ: a proxy has few clips, and one surface through all of its curves hears more of
    them than each curve alone; where two sums meet, both their points count. Of several the first in the order of
    ``curves``, then the smallest λ.
    """
    if len(curves) == 1:
        [(way, curve)] = curves.items()
        return way, likely_scale(curve)
    heard = [(way, point) for way, curve in curves.items() for point in sorted(curve, key=lambda p: abs(p.scale))]
    u, v = np.array([place(way, point.scale) for way, point in heard]).T
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    errors = np.array([point.errors for _, point in heard], dtype=np.float64)
    fitted = (terms @ np.linalg.lstsq(terms, errors, rcond=None)[0]).round(6)
    way, point = heard[int(fitted.argmin())]
    return way, point.scale


def place(way: Sum, scale: float) -> tuple[float, float]:
    """(u, v) of a sum at λ."""
    match way:
        case "syn2real":
            return scale, 0.0
        case "text-on-real":
            return 1.0, 1.0 - scale
        case "average":
            return scale, scale
