"""What a batch is made of: clips, decoded and, if wished, augmented, and what their loss is a mean over."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from syn2real.errors import AudioError
from syn2real.speech import audio
from syn2real.speech.augmentation import read_utterance
from syn2real.speech.batch_order import Draw
from syn2real.speech.corpus import Corpus
from syn2real.speech.recogniser import Clip, Recogniser

# (samples, utterance id, epoch) → samples, both float32 of shape (n,) at 16 kHz. It must draw from its arguments alone
# (`hashing.seed_from`), for a resumed training asks for the rest of an epoch only.
Augment = Callable[[np.ndarray, str, int], np.ndarray]


ITEMS = "items"  # of a batch: how many its loss is the mean of


class IdleClip(Clip):
    """A clip heard so that every process of a training takes part in every step; it counts for nothing."""


class ClipDataset(Dataset):
    """Decoded audio (float32, 16 kHz) and label ids of each utterance of a corpus, the audio augmented if wished.

    Asked for by its number alone, a clip is padded to 30 s only if ``full``. One that would grow over 30 s, as when it
    is slowed down, is left as recorded. Raises `UserError` for transcripts that the recogniser cannot write, and
    `AudioError` for an augmented clip that is no audio.
    """

    def __init__(
        self, corpus: Corpus, recogniser: Recogniser, augmentation: Augment | None = None, *, full: bool = False
    ) -> None:
        self.corpus = corpus
        self.augmentation = augmentation
        self.full = full
        self.labels = recogniser.labels(corpus)

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, index: "int | Draw") -> Clip:
        draw = index if isinstance(index, Draw) else Draw(index, full=self.full)
        utterance = self.corpus[draw.clip]
        samples = read_utterance(utterance)
        audio.require_window(utterance.audio_filepath, samples.size / audio.SAMPLE_RATE)
        if self.augmentation is not None:
            changed = np.asarray(self.augmentation(samples, utterance.id, draw.epoch), dtype=np.float32)
            if changed.ndim != 1 or not changed.size or not np.isfinite(changed).all():
                raise AudioError(f"{utterance.audio_filepath}: augmented to what is no audio; change the augmentation")
            if changed.size <= audio.WINDOW * audio.SAMPLE_RATE:
                samples = changed
        return (IdleClip if draw.idle else Clip)(samples, self.labels[draw.clip], draw.full)


class Collator:
    """Makes tensors of clips as the recogniser does, and adds `ITEMS`, by which means of several batches are weighed:
    label tokens for Whisper, clips for CTC models."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser

    def __call__(self, clips: Sequence[Clip]) -> dict[str, Any]:
        """Tensors for `Recogniser.loss`, and ``items``, int64 of shape ()."""
        counted = [clip for clip in clips if not isinstance(clip, IdleClip)]
        items = sum(len(clip.labels) for clip in counted) if self.recogniser.windowed else len(counted)
        return self.recogniser.collate(clips) | {ITEMS: torch.tensor(items)}
