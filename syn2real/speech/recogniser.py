"""What fine-tuning and transcription ask of a recogniser, whatever its kind, and which kind a directory holds."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from syn2real.errors import UserError, one_line
from syn2real.speech.corpus import Corpus
from syn2real.speech.listening import Listener
from syn2real.speech.pretrained import WHISPER, require_recogniser
from syn2real.speech.spawning import turn

IGNORED = -100  # label the loss leaves out

# Masks over time and features as both families' own fine-tuning recipes set them: a share of positions that begin or
# lie in a masked stretch of 10.
SPEC_AUGMENT = {"apply_spec_augment": True, "mask_time_prob": 0.05, "mask_feature_prob": 0.05}


class Clip(NamedTuple):
    """One clip to be learnt from."""

    samples: np.ndarray  # float32 of shape (n,) at 16 kHz
    labels: list[int]
    full: bool  # padded to 30 s, where the recogniser knows windows


def label_matrix(clips: Sequence[Clip]) -> torch.Tensor:
    """Labels of a batch: int64 of shape (clips, longest), with `IGNORED` behind the shorter."""
    labels = torch.full((len(clips), max(len(clip.labels) for clip in clips)), IGNORED)
    for row, clip in enumerate(clips):
        labels[row, : len(clip.labels)] = torch.tensor(clip.labels)
    return labels


class Recogniser(Listener):
    """A model of transformers that writes down speech and can be taught, with what it takes to feed it and to read
    what it writes."""

    model: Any  # of transformers, float32
    windowed: ClassVar[bool]  # made for a window of 30 s, so that a share of clips must be padded to it in training

    @property
    @abstractmethod
    def in_training(self) -> dict[str, Any]:
        """Entries of the configuration that hold while the model is trained."""

    @abstractmethod
    def labels(self, corpus: Corpus) -> list[list[int]]:
        """What the model must produce for each utterance. Raises `UserError` for a transcript that it cannot write."""

    @abstractmethod
    def collate(self, clips: Sequence[Clip]) -> dict[str, torch.Tensor]:
        """The tensors of a batch of clips, for `loss`."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean loss of a batch, a scalar. ``model`` is this recogniser's, perhaps wrapped by a trainer."""

    @contextmanager
    def trained(self, *, spec_augment: bool) -> Iterator[None]:
        """The configuration as training wants it, put back on leaving. Its masks come from numpy's global generator,
        whose state is in the trainer's checkpoints."""
        config = self.model.config
        before = dict(vars(config))
        config.update(self.in_training | (SPEC_AUGMENT if spec_augment else {}))
        try:
            yield
        finally:
            vars(config).clear()
            vars(config).update(before)

    def save(self, directory: Path, *, full_windows: float = 0.0) -> None:
        """Write the fine-tuned model so that plain transformers loads it. ``full_windows``: the share of its clips that
        were padded to 30 s."""
        self.model.save_pretrained(directory)

    def stored_name(self, name: str) -> str:
        """The name in the file of the weight that the model calls ``name``."""
        return name

    def replace_weights(self, tensor: Callable[[str], torch.Tensor]) -> None:
        """Overwrite every stored weight with ``tensor(name)``; tied weights follow the one that is stored."""
        stored = self.model.state_dict()
        with torch.no_grad():
            for name, weight in (*self.model.named_parameters(), *self.model.named_buffers()):
                if name in stored:
                    weight.copy_(tensor(self.stored_name(name)))


def load_recogniser(directory: Path, language: str | None = None, device: str | torch.device = "cpu") -> Recogniser:
    """The recogniser in a Hugging Face directory, of the kind that its ``config.json`` says, in float32.

    Raises `UserError` for a model of another kind, one that lacks weights, or a language that the model does not know.
    """
    if require_recogniser(directory) == WHISPER:
        from syn2real.speech.whisper import WhisperRecogniser

        return WhisperRecogniser.load(directory, language, device)
    from syn2real.speech.ctc import CtcRecogniser

    return CtcRecogniser.load(directory, language, device)


def load_whole(directory: Path, kind: str, model: Any, *others: Any) -> list[Any]:
    """A model by its transformers class, and its tokenizer and such by theirs.

    Raises `UserError` where one of them cannot be loaded or weights are missing: transformers would go on with random
    numbers.
    """
    from transformers.utils import logging

    # Our own bars and checks stand in for transformers'.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, report = model.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
        loaded = [network, *(other.from_pretrained(directory) for other in others)]
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        reason = one_line(error, 200)
        raise UserError(f"{directory}: cannot be loaded as a {kind} model: {reason}; get it anew") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(f"{directory}: {len(missing)} weights are missing, {missing[0]} first; get it anew")
    return loaded


def pick_device() -> torch.device:
    """CUDA where there is one, else the CPU. Worker processes take turns over several GPUs."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    return torch.device("cuda", turn() % count) if count > 1 else torch.device("cuda")
