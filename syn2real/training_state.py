"""Trainings that go on after a kill: checkpoints marked when all of them is on disk, and what they belong to."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from syn2real.errors import UserError, one_line
from syn2real.progress import Bar, say
from syn2real.sealing import flush_tree, write_text

CHECKPOINTS = "trainer"  # where a running training keeps its state, inside its output directory
IDENTITY = "identity.json"  # what the checkpoints beside it were made with
COMPLETE = "complete"  # marks a checkpoint whose last byte is on disk
LAST = "last"  # in that mark: training is over, by its steps or by patience


class Progress(TrainerCallback):
    """Shows steps and loss; marks each checkpoint complete once all of it is written, and the last as such."""

    def __init__(self, title: str) -> None:
        self.bar = Bar(title)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the bar, from the step that a resumed run stands at."""
        self.bar.start(total=state.max_steps, done=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One step done."""
        self.bar.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Show the loss."""
        if logs and "loss" in logs:
            self.bar.note(f"loss {float(logs['loss']):.3f}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint."""
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        flush_tree(checkpoint)
        write_text(checkpoint / COMPLETE, LAST if control.should_training_stop else "")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the bar down."""
        self.bar.stop()


def train(trainer: Trainer, checkpoint: Path | None) -> None:
    """Train, going on from a checkpoint where there is one.

    Of the last one only the end is taken up, the best model included: `Trainer.train` would forget that it was to stop,
    and go on after an early stop.
    """
    if checkpoint is None or (checkpoint / COMPLETE).read_text(encoding="utf-8") != LAST:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return
    trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer._load_from_checkpoint(best or str(checkpoint))


def keep_only(directory: Path, identity: Mapping[str, Any]) -> None:
    """Drop checkpoints of another model, data or settings: going on from them would be neither training."""
    record = directory / IDENTITY
    text = json.dumps(identity, sort_keys=True)
    if directory.exists() and not (record.is_file() and record.read_text(encoding="utf-8") == text):
        say("an unfinished training of other settings or data was there; starting anew")
        shutil.rmtree(directory)
    write_text(record, text)


def last_checkpoint(directory: Path) -> Path | None:
    """The newest complete checkpoint. Unfinished ones, left by a kill while writing, are removed."""
    found = []
    for path in directory.glob("checkpoint-*"):
        if (path / COMPLETE).is_file():
            found.append(path)
        else:
            shutil.rmtree(path)
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


@contextmanager
def saving(place: Path) -> Iterator[None]:
    """Raise `UserError` for a failure to write to ``place``: safetensors, torch and the system each name it in their
    own way. To be put around calls that do nothing but save."""
    try:
        yield
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = one_line(error)
        raise UserError(
            f"{place}: cannot be written ({reason}); make room on the disk, then run the same command again"
        ) from error


def best_precision() -> Literal["bf16", "fp16", "fp32"]:
    """bf16 where the GPU or the CPU multiplies it natively, fp16 on older GPUs, else fp32."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
