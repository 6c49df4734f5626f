"""What choosing λ on few clips costs: the parabola against the fewest errors, on curves whose true best is known.

    python -m benchmarks.choosing_scale

The curves are those measured over six targets (docs/results.md, 2293 words), scaled to few errors, and lopsided ones
with their best at several places. Errors at one λ share most of their clips' chance with those at the next, so 60 % of
them are drawn once for all λ.
"""

import numpy as np

from syn2real.experiments.results import CurvePoint, best_scale, likely_scale

GRID = np.array([0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6])
MEASURED = {
    "SYN2REAL": np.array([926, 735, 682, 666, 645, 638, 680, 705, 829.0]),
    "text-on-real": np.array([587, 612, 610, 608, 633, 638, 663, 693, 750.0]),
}
SHARED = 0.6
DRAWS = 1000


def lopsided(best: float) -> np.ndarray:
    """A curve that falls slowly and rises fast: shape (λ,), its least about 1."""
    away = GRID - best
    return 1 + 0.7 * away**2 + 0.35 * away**3 * (away > 0)


def cost(truth: np.ndarray, errors: int, random: np.random.Generator) -> tuple[float, float]:
    """By how much more errors than at the best λ the fewest errors and the parabola end, on average."""
    truth = truth / truth.min() * errors
    shared = SHARED * errors
    lost = np.zeros(2)
    for _ in range(DRAWS):
        drawn = random.poisson(shared) + random.poisson(truth - shared)
        curve = [CurvePoint(float(scale), int(count), 1) for scale, count in zip(GRID, drawn, strict=True)]
        for index, rule in enumerate((best_scale, likely_scale)):
            lost[index] += truth[rule(curve) == GRID][0] / errors - 1
    fewest, parabola = lost / DRAWS
    return float(fewest), float(parabola)


def main() -> None:
    """Print the table."""
    curves = MEASURED | {f"lopsided, best at {best:g}": lopsided(best) for best in (0.3, 0.5, 0.8, 1.0, 1.3)}
    print(f"{'curve':24} {'errors':>6} {'fewest':>8} {'parabola':>8} {'ratio':>6}")
    found = []
    for name, truth in curves.items():
        for errors in (40, 100, 400):
            fewest, parabola = cost(truth, errors, np.random.default_rng(0))
            found.append((fewest, parabola))
            print(f"{name:24} {errors:6} {fewest:8.1%} {parabola:8.1%} {parabola / fewest:6.2f}")
    fewest, parabola = np.mean(found, axis=0)
    print(f"{'mean':24} {'':6} {fewest:8.1%} {parabola:8.1%} {parabola / fewest:6.2f}")


if __name__ == "__main__":
    main()
