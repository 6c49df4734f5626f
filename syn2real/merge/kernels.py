"""Compiled loops (``kernels.c``) for what torch does in many passes over memory.

They are built when the package is installed, where there is a C compiler. Each has an equal in torch and numpy, to the
bit, which its caller uses where there are none, and for tensors that are not `taken`.
"""

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_double, c_int, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

KINDS = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 2, torch.float16: 3}
MOST = 12  # models of one sum
ALL, TRIMMED, BANDED, DRAWN, RESCALED, MASKED = range(6)  # rules of a `Part`
LANES = 512  # sums that `norms` adds to, as in kernels.c
_VERSION = 6  # of kernels.c: what was built from another is not called


class Part(ctypes.Structure):
    """One model of a `sparse_sum` or of `norms`: which elements of its difference to the base are kept, and how."""

    _fields_ = (
        ("values", c_void_p),
        ("limits", c_void_p),
        ("mask", c_void_p),
        ("seed", c_uint64),
        ("cut", c_double),
        ("outer", c_double),
        ("left", c_int64),
        ("outside", c_int64),
        ("factor", c_double),
        ("weight", c_double),
        ("share", c_double),
        ("kind", c_int32),
        ("rule", c_int32),
    )


class Election(ctypes.Structure):
    """How `weighting.agreeing_mean` divides: see there, and ``struct election``."""

    _fields_ = (("least", c_double), ("nothing", c_double), ("positive", c_int32), ("divide", c_int32))


def built() -> bool:
    """Whether there are compiled loops."""
    return _LIBRARY is not None


def taken(*tensors: Tensor) -> bool:
    """Whether there are loops that can work on all of these: contiguous, on the processor, of 16 bits or more.

    Raises `ValueError` where they are not of one length.
    """
    if len({tensor.numel() for tensor in tensors}) > 1:
        raise ValueError(f"tensors of {' and '.join(str(tensor.numel()) for tensor in tensors)} elements")
    return _LIBRARY is not None and all(
        tensor.dtype in KINDS and tensor.device.type == "cpu" and tensor.is_contiguous() and not tensor.is_neg()
        for tensor in tensors
    )


def fit(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors as they can be `taken`. Raises `ValueError` where they are not of one length."""
    found = [tensor if taken(tensor) else tensor.cpu().double().resolve_neg().contiguous() for tensor in tensors]
    taken(*found)
    return found


def combine(pieces: Sequence[tuple[float, Tensor]], result: Tensor) -> None:
    """See `arithmetic.combine`; ``result`` is filled."""
    count = len(pieces)
    _library().combine(
        result.data_ptr(),
        KINDS[result.dtype],
        result.numel(),
        count,
        (c_double * count)(*(factor for factor, _ in pieces)),
        _pointers([values for _, values in pieces]),
        (c_int * count)(*(KINDS[values.dtype] for _, values in pieces)),
    )


def agreeing_mean(values: Sequence[Tensor], votes: Sequence[Tensor], shares: Sequence[float], how: Election) -> Tensor:
    """See `weighting.agreeing_mean`: float64, in the memory of the first of at most `MOST` ``values``."""
    models, divisors = len(values), (c_double * len(values))(*shares)
    pointers = _pointers(values), _pointers(votes)
    _library().agreeing_mean(values[0].numel(), models, *pointers, divisors, ctypes.byref(how))
    return values[0]


def sparse_sum(
    result: Tensor,
    first: int,
    base: Tensor,
    parts: "ctypes.Array[Part]",
    how: Election | None,
    *,
    unweighted: bool,
    scale: float,
) -> None:
    """``result`` = base + scale · Σ of what the parts keep, or what is elected of it, rounded once.

    ``first`` is the number of the first element in its tensor. Votes are ``unweighted`` or weighted. What is `left` in
    a part, or `outside`, is lowered by the elements kept that equal its cut.
    """
    _library().sparse_sum(
        result.data_ptr(),
        KINDS[result.dtype],
        first,
        result.numel(),
        base.data_ptr(),
        KINDS[base.dtype],
        len(parts),
        parts,
        None if how is None else ctypes.byref(how),
        unweighted,
        scale,
    )


def add_up(lanes: np.ndarray, values: Tensor, first: int) -> None:
    """Add float64 ``values`` to `LANES` sums, by their number, from ``first`` on, modulo `LANES`."""
    assert lanes.shape == (LANES,) and values.dtype == torch.float64
    _library().add_up(lanes.ctypes.data, values.data_ptr(), first, values.numel())


def norms(whole: np.ndarray, kept: np.ndarray, first: int, base: Tensor, part: Part) -> None:
    """Add to `LANES` sums, of elements by their number modulo `LANES`: of the magnitudes of one model's differences,
    and of those of what is kept of them, times the factor. ``first`` is the number of the first."""
    assert whole.shape == kept.shape == (LANES,)
    sums = whole.ctypes.data, kept.ctypes.data
    _library().norms(*sums, first, base.numel(), base.data_ptr(), KINDS[base.dtype], ctypes.byref(part))


def sample(model: Tensor, base: Tensor, first: int, stride: int) -> np.ndarray:
    """Every ``stride``-th of |model − base|, from element ``first`` on: float64."""
    count = model.numel()
    result = np.empty(len(range(first, count, stride)))
    _library().sample(*_pair(model, base), count, first, stride, result.ctypes.data)
    return result


class Screened(ctypes.Structure):
    """How many magnitudes lie above the higher bound of a `screen`, at it, at the lower; and how many are NaN."""

    _fields_ = (("above", c_int64), ("at_high", c_int64), ("at_low", c_int64), ("unordered", c_int64))


def screen(model: Tensor, base: Tensor, low: float, high: float) -> tuple[Screened, np.ndarray]:
    """How |model − base| lie to two bounds, and those strictly between, in order: float64."""
    result, inside = Screened(), np.empty(model.numel())
    arrays = ctypes.byref(result), inside.ctypes.data
    found = _library().screen(*_pair(model, base), model.numel(), low, high, *arrays)
    return result, inside[:found].copy()


def nth(values: np.ndarray, place: int) -> float:
    """What stands at ``place`` among sorted float64 ``values``, none of which is NaN."""
    assert values.dtype == np.float64 and 0 <= place < len(values)
    values = np.ascontiguousarray(values)
    keys = np.empty(len(values), np.uint64)
    return float(_library().nth(values.ctypes.data, len(values), place, keys.ctypes.data))


def trim(values: Tensor, cut: float, left: int) -> tuple[Tensor, int]:
    """See `Cut.trim`: float64."""
    result = torch.empty_like(values)
    return result, _library().trim(result.data_ptr(), values.data_ptr(), values.numel(), cut, left)


def keep(seed: int, first: int, count: int, limits: np.ndarray) -> Tensor:
    """1 where a number of `Stack.draws` is at most its limit, 0 elsewhere: float64, shape (count,).

    ``limits`` is int16: one for all, or one for each element.
    """
    mask = torch.empty(count, dtype=torch.float64)
    limits = np.require(limits, np.int16, "C")
    if limits.shape not in ((), (count,)):
        raise ValueError(f"{limits.shape} limits for {count} elements")
    _library().keep(mask.data_ptr(), seed, first, count, limits.ctypes.data, limits.ndim > 0)
    return mask


def keep_by_rank(
    model: Tensor, base: Tensor | None, columns: int, seed: int, first: int, limits: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """See `ranks.kept_by_rank`, for rows of fewer than 2¹⁶ ``columns``; ``limits`` and ``least`` are a `ByRank`'s."""
    shape = model.numel() // columns, columns
    row, mask = (np.empty(columns, np.uint32), np.empty(columns, np.uint16)), np.empty(model.numel(), np.uint8)
    limits, least = np.require(limits, np.int16, "C"), np.require(least, np.uint16, "C")
    arrays = [array.ctypes.data for array in (limits, least, *row, mask)]
    _library().keep_by_rank(*_pair(model, base), *shape, seed, first, *arrays)
    return mask


def rank_keys(
    model: Tensor, base: Tensor | None, columns: int, places: int, coarse: int, span: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ``columns`` of |model − base|, as the bits of float32, and keys to sort them by: uint32, (rows, columns).

    A key ends in ``places`` bits of the element's place; for what lies ``span`` or more below the largest of the row,
    and for the last ``coarse`` bits, there is no room in it.
    """
    shape = model.numel() // columns, columns
    bits, keys = np.empty(shape, np.uint32), np.empty(shape, np.uint32)
    _library().rank_keys(*_pair(model, base), *shape, places, coarse, span, bits.ctypes.data, keys.ctypes.data)
    return bits, keys


def rank_places(keys: np.ndarray, bits: np.ndarray, places: int, by_rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``by_rank`` in the places of elements whose keys are sorted: int16; and which rows are in disorder: bool.

    The keys are overwritten.
    """
    ranked, wrong = np.empty(keys.shape, np.int16), np.empty(len(keys), np.bool_)
    by_rank = np.require(by_rank, np.int16, "C")
    arrays = [array.ctypes.data for array in (by_rank, ranked, wrong)]
    _library().rank_places(keys.ctypes.data, bits.ctypes.data, *keys.shape, places, *arrays)
    return ranked, wrong


def _pointers(tensors: Sequence[Tensor]) -> "ctypes.Array[c_void_p]":
    return (c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _pair(model: Tensor, base: Tensor | None) -> tuple[int, int, int | None, int]:
    other = (None, 0) if base is None else (base.data_ptr(), KINDS[base.dtype])
    return model.data_ptr(), KINDS[model.dtype], *other


def _library() -> ctypes.CDLL:
    assert _LIBRARY is not None
    return _LIBRARY


def _load() -> ctypes.CDLL | None:
    spec = find_spec("syn2real.merge._kernels")
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    pointer, pair, sizes = c_void_p, (c_void_p, c_int, c_void_p, c_int), (c_int, c_int64, c_int64)
    signatures: dict[str, tuple[object, ...]] = {
        "combine": (pointer, c_int, c_int64, c_int, pointer, pointer, pointer),
        "agreeing_mean": (c_int64, c_int, pointer, pointer, pointer, POINTER(Election)),
        "add_up": (pointer, pointer, c_int64, c_int64),
        "norms": (pointer, pointer, c_int64, c_int64, pointer, c_int, POINTER(Part)),
        "sparse_sum": (pointer, *sizes, pointer, *[c_int] * 2, pointer, POINTER(Election), c_int, c_double),
        "sample": (*pair, c_int64, c_int64, c_int64, pointer),
        "screen": (*pair, c_int64, c_double, c_double, POINTER(Screened), pointer),
        "nth": (pointer, c_int64, c_int64, pointer),
        "trim": (pointer, pointer, c_int64, c_double, c_int64),
        "keep": (pointer, c_uint64, c_int64, c_int64, pointer, c_int),
        "keep_by_rank": (*pair, c_int64, c_int64, c_uint64, c_int64, pointer, pointer, pointer, pointer, pointer),
        "rank_keys": (*pair, c_int64, c_int64, c_int, c_int, c_uint32, pointer, pointer),
        "rank_places": (pointer, pointer, c_int64, c_int64, c_int, pointer, pointer, pointer),
    }
    gives = {"nth": c_double, "sample": c_int64, "screen": c_int64, "trim": c_int64}
    try:
        library = ctypes.CDLL(spec.origin)
        if library.version() != _VERSION:
            return None
        for name, kinds in signatures.items():
            function = getattr(library, name)
            function.argtypes = kinds
            function.restype = gives.get(name)
    except (OSError, AttributeError):
        return None
    return library


_LIBRARY = _load()
