"""The checkpoints of a running training: what they were made with, which are whole, and which is the newest."""

import json
import shutil
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from syn2real.hashing import sha256_file
from syn2real.progress import say
from syn2real.sealing import flush_tree, write_text
from syn2real.speech.augmentation import Augmentation
from syn2real.speech.batching import Augment
from syn2real.speech.corpus import Corpus
from syn2real.speech.processes import is_first, wait
from syn2real.speech.training import TrainingSettings

IDENTITY = "identity.json"  # what the checkpoints beside it were made with
COMPLETE = "complete"  # marks a checkpoint whose last byte is on disk
LAST = "last"  # in that mark: training is over, by its steps or by patience


class Marks(TrainerCallback):
    """Marks each checkpoint complete once all of it is written, by every process, and the last as such."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called after a checkpoint was saved."""
        wait()
        if is_first():
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            flush_tree(checkpoint)
            write_text(checkpoint / COMPLETE, LAST if control.should_training_stop else "")


def is_last(checkpoint: Path) -> bool:
    """Whether training was over when it was written."""
    return (checkpoint / COMPLETE).read_text(encoding="utf-8") == LAST


def last_checkpoint(directory: Path) -> Path | None:
    """The newest complete checkpoint. Unfinished ones, left by a kill while writing, are removed."""
    found = []
    for path in directory.glob("checkpoint-*"):
        if (path / COMPLETE).is_file():
            found.append(path)
        else:
            shutil.rmtree(path)
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def keep_only(directory: Path, identity: dict[str, Any]) -> None:
    """Drop checkpoints of another model, corpus or settings: going on from them would be neither training."""
    record = directory / IDENTITY
    text = json.dumps(identity, sort_keys=True)
    if directory.exists() and not (record.is_file() and record.read_text(encoding="utf-8") == text):
        say("an unfinished training of other settings or clips was there; starting anew")
        shutil.rmtree(directory)
    write_text(record, text)


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
        "model": {path.name: sha256_file(path) for path in sorted(model.glob("*.safetensors"))},
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
