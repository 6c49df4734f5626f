"""What chance alone could do: units drawn again with replacement, differences with other signs, tests by the dozen.

Everything here takes arrays whose first axis is the unit that was drawn from the world: a speaker, an utterance, a
request. Which unit that is, and what rate is made of the sums, is for the caller to know.
"""

from collections.abc import Iterator, Sequence

import numpy as np

DRAWS = 10_000  # samples of a bootstrap
_CHUNK = 1 << 21  # unit indices drawn at a time: 16 MB, however many units there are
_MANY = 10_000  # units from which on those that are equal are drawn together
_EXACT = 16  # units up to which every choice of signs is tried: 32,768 of them
_ROUNDING = 1e-9  # by which sums of fractions that are equal may differ


def resample(counts: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Sums over ``draws`` samples of the units with replacement: (units, …) → float64 of shape (draws, …).

    Every column is summed over the same sample, and a second call with as many units, draws and the same seed draws
    the same samples. Sums of whole numbers are exact.
    """
    columns = counts.reshape(len(counts), -1).astype(np.float64)
    sums = np.concatenate([weights @ columns for weights in _samples(len(counts), draws, seed)])
    return sums.reshape(draws, *counts.shape[1:])


def resample_alike(counts: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """`resample`, in less time where there are many units and few counts among them: as often as each occurs.

    How many of a sample have certain counts is multinomial, so the sums have the same law. Of `_MANY` units or more the
    samples are others than those of `resample`; nothing else may rest on them.
    """
    found = _kinds(counts.reshape(len(counts), -1))
    if found is None:
        return resample(counts, draws, seed)
    kinds, times = found
    return resample_kinds(kinds.reshape(-1, *counts.shape[1:]), times, draws, seed)


def resample_kinds(kinds: np.ndarray, times: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """`resample` of units that are each of a kind, ``times`` of them of each: (kinds, …) → float64 of shape (draws, …).

    How many of each kind a sample has is drawn at once, so the samples are others than those of `resample`.
    """
    rows = kinds.reshape(len(kinds), -1).astype(np.float64)
    units = int(times.sum())
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // len(kinds))
    parts = (
        generator.multinomial(units, times / units, min(size, draws - start)).astype(np.float64)
        for start in range(0, draws, size)
    )
    return np.concatenate([part @ rows for part in parts]).reshape(draws, *kinds.shape[1:])


def percentiles(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The interval that holds the middle ``level`` of the values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def sign_flips(gaps: np.ndarray, draws: int = 100_000, seed: int = 0) -> np.ndarray:
    """Two-sided p-values of paired differences by unit: (units, tests) → float64 of shape (tests,).

    Were two systems alike, each unit's difference would as likely have the other sign. p is the share of choices of
    signs whose sum is at least as far from 0: of all of them up to 16 units (exact, least value 2 / 2^units), beyond
    that of ``draws`` random ones and the one observed (Noreen, Computer-Intensive Methods, 1989). Right for any number
    of units, where the bootstrap of fewer than about 30 rejects too often. Of `_MANY` units or more, how many of those
    with the same differences have the other sign is drawn at once.
    """
    units = len(gaps)
    values = gaps.astype(np.float64)
    seen = np.abs(values.sum(axis=0))
    exact = units <= _EXACT
    alike = _kinds(values)
    if alike is not None:
        values, times = alike
    generator = np.random.default_rng(seed)
    choices = 1 << max(0, units - 1) if exact else draws  # of all, those that differ in more than what is called plus
    size = max(1, _CHUNK // max(values.shape))
    beyond = np.zeros(values.shape[1])
    for start in range(0, choices, size):
        count = min(size, choices - start)
        if exact:
            signs = 1.0 - 2.0 * (np.arange(start, start + count)[:, None] >> np.arange(units) & 1)
        elif alike is None:
            signs = 1.0 - 2.0 * generator.integers(0, 2, size=(count, units), dtype=np.int8)
        else:
            signs = times - 2.0 * generator.binomial(times, 0.5, size=(count, len(times)))
        beyond += (np.abs(signs @ values) + _ROUNDING >= seen).sum(axis=0)
    return beyond / choices if exact else (beyond + 1) / (choices + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for there being several, in the order given (Holm, Scand. J. Statist. 1979, step-down).

    Rejecting those at most α keeps the chance of any false rejection in the family within α, however the tests
    depend on each other.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    if any(not 0 <= p <= 1 for p in ps):
        raise ValueError("p-values lie between 0 and 1")
    corrected = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = largest
    return corrected


def _kinds(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Of many rows, those that differ and how often each occurs; None of fewer, or where most differ."""
    if len(rows) < _MANY:
        return None
    kinds, times = np.unique(rows, axis=0, return_counts=True)
    return (kinds, times) if len(kinds) < len(rows) // 2 else None


def _samples(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is in each sample: float64 of shape (some draws, units), a bounded part at a time."""
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // units)
    for start in range(0, draws, size):
        count = min(size, draws - start)
        picked = generator.integers(0, units, size=(count, units))
        picked += np.arange(count)[:, None] * units
        yield np.bincount(picked.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
