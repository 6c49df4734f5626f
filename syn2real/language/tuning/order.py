"""The order of a tuning: examples of similar length together, so that little is padded, and another in every epoch."""

from collections.abc import Iterator, Sequence
from random import Random

from torch.utils.data import Sampler

from syn2real.hashing import seed_from
from syn2real.similar_lengths import similar_batches


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
        # The incomplete batch is the last: anywhere else the data loader would cut the batches after it elsewhere.
        for batch in similar_batches(self.lengths, self.batch_size, Random(seed_from(self.seed, self.epoch))):
            yield from batch
