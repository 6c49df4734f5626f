"""The checkpoints of a running fine-tuning: what they were made with, and when several processes have written them."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from syn2real import training_state
from syn2real.speech.augmentation import Augmentation
from syn2real.speech.batching import Augment
from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import model_key
from syn2real.speech.processes import is_first, wait
from syn2real.speech.training import TrainingSettings


class Marks(training_state.Marks):
    """The same for several processes: complete is what all of them have written."""

    def on_save(self, *arguments: Any, **others: Any) -> None:
        """Mark the checkpoint."""
        wait()
        if is_first():
            super().on_save(*arguments, **others)


def identity_of(
    model: Path,
    corpus: Corpus,
    dev: Corpus | None,
    settings: TrainingSettings,
    language: str | None,
    augmentation: Augment | None,
) -> dict[str, Any]:
    """What a checkpoint may only be resumed with."""
    return {
        "model": model_key(model),
        "corpus": corpus.fingerprint,
        "dev": dev.fingerprint if dev is not None else None,
        "settings": settings.record(),
        "language": language,
    } | described(augmentation)


def described(augmentation: Augment | None) -> dict[str, Any]:
    """What tells one augmentation from another: ours by its transforms and recordings, another by its fields where it
    is a dataclass, or by its name."""
    if augmentation is None:
        return {}
    if isinstance(augmentation, Augmentation):
        made = {"transforms": augmentation.spec(), "seed": augmentation.seed, "sha256": augmentation.fingerprint}
        return {"augmentation": made}
    kind = augmentation if hasattr(augmentation, "__qualname__") else type(augmentation)
    name = f"{kind.__module__}.{kind.__qualname__}"
    return {"augmentation": repr(augmentation) if is_dataclass(augmentation) else name}
