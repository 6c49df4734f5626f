"""What a batch is made of: clips drawn in an order that a resumed run sees again, decoded and, if wished, augmented."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset, Sampler

from syn2real.errors import AudioError
from syn2real.hashing import seed_from
from syn2real.speech import audio
from syn2real.speech.augmentation import read_utterance
from syn2real.speech.corpus import Corpus
from syn2real.speech.recogniser import Clip, Recogniser

# (samples, utterance id, epoch) → samples, both float32 of shape (n,) at 16 kHz. It must draw from its arguments alone
# (`hashing.seed_from`), for a resumed training asks for the rest of an epoch only.
Augment = Callable[[np.ndarray, str, int], np.ndarray]


class Draw(NamedTuple):
    """One clip of a batch, and whether it is padded to 30 s."""

    clip: int  # its place in the corpus
    full: bool
    epoch: int = 0


class ClipDataset(Dataset):
    """Decoded audio (float32, 16 kHz) and label ids of each utterance of a corpus, the audio augmented if wished.

    A clip that would grow over 30 s, as when it is slowed down, is left as recorded. Raises `UserError` for transcripts
    that the recogniser cannot write, and `AudioError` for an augmented clip that is no audio.
    """

    def __init__(self, corpus: Corpus, recogniser: Recogniser, augmentation: Augment | None = None) -> None:
        self.corpus = corpus
        self.augmentation = augmentation
        self.labels = recogniser.labels(corpus)

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, index: "int | Draw") -> Clip:
        draw = index if isinstance(index, Draw) else Draw(index, full=False)
        utterance = self.corpus[draw.clip]
        samples = read_utterance(utterance)
        audio.require_window(utterance.audio_filepath, samples.size / audio.SAMPLE_RATE)
        if self.augmentation is not None:
            changed = np.asarray(self.augmentation(samples, utterance.id, draw.epoch), dtype=np.float32)
            if changed.ndim != 1 or not changed.size or not np.isfinite(changed).all():
                raise AudioError(f"{utterance.audio_filepath}: augmented to what is no audio; change the augmentation")
            if changed.size <= audio.WINDOW * audio.SAMPLE_RATE:
                samples = changed
        return Clip(samples, self.labels[draw.clip], draw.full)


class BucketSampler(Sampler):
    """Shuffled batches of clips of similar length, of which a steady share is padded to 30 s.

    The order is a function of (seed, epoch) and nothing else, so a resumed run sees the same batches.
    """

    def __init__(
        self, durations: Sequence[float], batch_size: int, full_windows: float, seed: int, pool: int = 8
    ) -> None:
        self.durations = durations
        self.batch_size = batch_size
        self.full_windows = full_windows
        self.seed = seed
        self.pool = pool  # batches sorted together: larger wastes less padding, smaller mixes more
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is produced next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.durations)

    def __iter__(self) -> Iterator[Draw]:
        random = Random(seed_from(self.seed, self.epoch))
        order = list(range(len(self.durations)))
        random.shuffle(order)
        size = self.batch_size * self.pool
        batches = []
        for start in range(0, len(order), size):
            pool = sorted(order[start : start + size], key=lambda index: self.durations[index])
            batches += [pool[at : at + self.batch_size] for at in range(0, len(pool), self.batch_size)]
        # An incomplete batch stays last: anywhere else the data loader would cut the batches after it elsewhere.
        last = [batch for batch in batches if len(batch) < self.batch_size]
        batches = [batch for batch in batches if len(batch) == self.batch_size]
        random.shuffle(batches)
        owed = random.random()
        for batch in batches + last:
            random.shuffle(batch)
            owed += self.full_windows * len(batch)
            full = min(int(owed), len(batch))
            owed -= full
            yield from (Draw(index, place < full, self.epoch) for place, index in enumerate(batch))
