"""Batches whose members are of similar length, so that little of them is padding."""

from collections.abc import Sequence
from random import Random

POOL = 8  # batches sorted together: larger wastes less padding, smaller mixes more


def similar_batches(lengths: Sequence[float], size: int, random: Random) -> list[list[int]]:
    """Batches of ``size`` places, in an order that is drawn: each comes from a shuffled pool of eight that was sorted.

    The incomplete one, if any, is the last.
    """
    order = list(range(len(lengths)))
    random.shuffle(order)
    reach = size * POOL
    batches = []
    for start in range(0, len(order), reach):
        pool = sorted(order[start : start + reach], key=lambda place: lengths[place])
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    last = [batch for batch in batches if len(batch) < size]
    batches = [batch for batch in batches if len(batch) == size]
    random.shuffle(batches)
    return batches + last
