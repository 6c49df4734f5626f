"""Batches side by side on a processor, a thread each: the products of a small model are too small to be divided among
threads, which would wait for each other at every one."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
LEAST = 8  # rows of a batch, of fewer of which a product is no cheaper


def fair_share(count: int, most: int) -> int:
    """The size of batches of at most ``most`` rows by which all threads have equally many of ``count``."""
    import torch

    threads = torch.get_num_threads()
    rounds = max(1, -(-count // (most * threads)))
    return min(most, max(LEAST, -(-count // (rounds * threads))))


def side_by_side(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """``work`` of each part, in order: of as many at once as torch has threads, which they share out."""
    import torch

    threads = torch.get_num_threads()
    workers = min(threads, len(parts))
    if workers < 2:
        return [work(part) for part in parts]

    def alone(part: T) -> R:
        torch.set_num_threads(threads // workers)
        return work(part)

    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(alone, parts))
    finally:
        torch.set_num_threads(threads)  # which threads to come would else take over from these
