"""The order of a tuning: examples of similar length together, so that little is padded, and another in every epoch."""

from collections.abc import Iterator, Sequence
from random import Random

from torch.utils.data import Sampler

from syn2real.hashing import seed_from

POOL = 8  # batches sorted together: larger wastes less padding, smaller mixes more


class SimilarLengths(Sampler[int]):
    """Places of examples, shuffled, where each run of ``batch_size`` is of similar length.

    The order is a function of (seed, epoch) and nothing else, so a resumed run sees the same batches.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is produced next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = Random(seed_from(self.seed, self.epoch))
        order = list(range(len(self.lengths)))
        random.shuffle(order)
        reach = self.batch_size * POOL
        batches = []
        for start in range(0, len(order), reach):
            pool = sorted(order[start : start + reach], key=lambda place: self.lengths[place])
            batches += [pool[at : at + self.batch_size] for at in range(0, len(pool), self.batch_size)]
        # An incomplete batch stays last: anywhere else the data loader would cut the batches after it elsewhere.
        last = [batch for batch in batches if len(batch) < self.batch_size]
        batches = [batch for batch in batches if len(batch) == self.batch_size]
        random.shuffle(batches)
        for batch in batches + last:
            yield from batch
