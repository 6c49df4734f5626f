"""The order of a training: which clips are heard together, anew in every epoch, and by which of its processes."""

from collections.abc import Iterator, Sequence
from math import ceil
from random import Random
from typing import NamedTuple, Protocol

from torch.utils.data import Sampler

from syn2real.hashing import seed_from
from syn2real.similar_lengths import similar_batches
from syn2real.speech.audio import WINDOW

SPREAD = 1.2  # longest over shortest clip that may change places between batches of a budget


class Draw(NamedTuple):
    """One clip of a batch, and whether it is padded to 30 s."""

    clip: int  # its place in the corpus
    full: bool
    epoch: int = 0
    idle: bool = False  # heard by a process that would be without a clip, and counted for nothing


class Grouping(Protocol):
    """A way to make batches of clips. There are as many in every epoch, for steps are counted in advance."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def batches(self, random: Random) -> list[list[int]]:
        """The batches of an epoch in their order, each of places in the corpus; all of them once."""


class ByNumber:
    """Batches of so many clips of similar length; see `similar_batches`."""

    def __init__(self, durations: Sequence[float], size: int) -> None:
        self.durations = durations
        self.size = size

    def __len__(self) -> int:
        return ceil(len(self.durations) / self.size)

    def batches(self, random: Random) -> list[list[int]]:
        """See `Grouping.batches`. The incomplete one is the last."""
        return similar_batches(self.durations, self.size, random)


class BySeconds:
    """Batches of so many seconds at most, padding and the share of clips padded to 30 s included.

    Clips are sorted into buckets, each a multiple of the batches that its longest clip allows, and change places within
    their bucket alone: so the number of batches is the same in every epoch, and none is over the budget.
    """

    def __init__(self, durations: Sequence[float], seconds: float, full_windows: float) -> None:
        self.seconds = seconds
        self.full_windows = full_windows
        self.buckets: list[tuple[list[int], int]] = []  # clips, and how many of them make a batch
        waiting = sorted(range(len(durations)), key=lambda index: (-durations[index], index))
        while waiting:
            longest = durations[waiting[0]]
            size = end = self._room(longest, len(waiting))
            while end < len(waiting) and durations[waiting[end]] * SPREAD >= longest:
                end += size
            self.buckets.append((waiting[:end], size))
            waiting = waiting[end:]

    def __len__(self) -> int:
        return sum(ceil(len(clips) / size) for clips, size in self.buckets)

    def batches(self, random: Random) -> list[list[int]]:
        """See `Grouping.batches`."""
        found = []
        for clips, size in self.buckets:
            order = list(clips)
            random.shuffle(order)
            found += [order[at : at + size] for at in range(0, len(order), size)]
        random.shuffle(found)
        return found

    def _room(self, longest: float, most: int) -> int:
        """How many clips of this length fit, where as many as a batch may get are padded to 30 s; at least one."""
        fitting = 1
        for count in range(2, most + 1):
            full = ceil(self.full_windows * count - 1e-9)
            if (count - full) * longest + full * WINDOW > self.seconds:
                break
            fitting = count
        return fitting


class BatchOrder(Sampler[list[Draw]]):
    """The batches of each epoch, shuffled, with a steady share of clips padded to 30 s.

    The order is a function of (seed, epoch) and nothing else, so a resumed run sees the same batches. Several processes
    share each batch out: together they hear what one would hear.
    """

    def __init__(
        self, grouping: Grouping, full_windows: float, seed: int, process: int = 0, processes: int = 1
    ) -> None:
        self.grouping = grouping
        self.full_windows = full_windows
        self.seed = seed
        self.process = process
        self.processes = processes
        self.epoch = 0

    @property
    def sampler(self) -> "BatchOrder":
        """Itself: where first batches of an epoch are skipped, accelerate looks here for whom to tell which it is."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is produced next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.grouping)

    def __iter__(self) -> Iterator[list[Draw]]:
        random = Random(seed_from(self.seed, self.epoch))
        batches = self.grouping.batches(random)
        owed = random.random()
        for batch in batches:
            random.shuffle(batch)
            owed += self.full_windows * len(batch)
            full = min(int(owed), len(batch))
            owed -= full
            draws = [Draw(index, place < full, self.epoch) for place, index in enumerate(batch)]
            yield draws[self.process :: self.processes] or [draws[-1]._replace(idle=True)]
