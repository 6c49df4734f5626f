"""Trainings that go on after a kill: checkpoints marked when all of them is on disk, and what they belong to."""

import json
from collections.abc import Mapping
from math import gcd
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from syn2real.errors import UserError
from syn2real.progress import Bar, say
from syn2real.sealing import clear_discarded, discard, flush_tree, write_text

Computed = Literal["bf16", "fp16", "fp32"]  # what matrix products are computed in

CHECKPOINTS = "trainer"  # where a running training keeps its state, inside its output directory
IDENTITY = "identity.json"  # what the checkpoints beside it were made with
COMPLETE = "complete"  # marks a checkpoint whose last byte is on disk
LAST = "last"  # that mark's first line, before the files: training is over, by its steps or by patience
LOGGED = 5  # steps between two losses in the log


class Marks(TrainerCallback):
    """Marks each checkpoint complete once all of it is written, and the last as such."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint, naming its files: a kill while the trainer removes an old one leaves some of them."""
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        flush_tree(checkpoint)
        files = sorted(path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file())
        lines = [LAST if control.should_training_stop else "", *files]
        write_text(checkpoint / COMPLETE, "\n".join(lines))


class Progress(TrainerCallback):
    """Shows steps and loss."""

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

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the bar down."""
        self.bar.stop()


def resumable(directory: Path, *, checkpoint_steps: int, seed: int, evaluated: bool) -> dict[str, Any]:
    """Arguments of a `TrainingArguments` whose training ends in the same bytes whether or not it was killed; the model
    of the lowest dev loss is kept where it is ``evaluated``."""
    return {
        "output_dir": str(directory.absolute()),  # noted in checkpoints as the place of the best
        # A loss is the mean since the one before, which a resumed run knows only if checkpoints lie on logged steps.
        "logging_steps": gcd(LOGGED, checkpoint_steps),
        "save_strategy": "steps",
        "save_steps": checkpoint_steps,
        "save_total_limit": 2,
        "eval_strategy": "steps" if evaluated else "no",
        "eval_steps": checkpoint_steps if evaluated else None,
        "load_best_model_at_end": evaluated,
        "metric_for_best_model": "eval_loss" if evaluated else None,
        "greater_is_better": False if evaluated else None,
        "restore_callback_states_from_checkpoint": True,  # else a resumed run forgets how long it has waited
        "report_to": [],
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "disable_tqdm": True,
    }


def train(trainer: Trainer, checkpoint: Path | None, progress: Progress) -> None:
    """Train, going on from a checkpoint where there is one, with ``progress`` as the only thing that is shown.

    Of the last one only the end is taken up, the best model included: `Trainer.train` would forget that it was to stop,
    and go on after an early stop.
    """
    for shown in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown)
    if checkpoint is None or _mark(checkpoint)[0] != LAST:
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            progress.bar.stop()
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
        discard(directory)
    clear_discarded(directory)
    write_text(record, text)


def last_checkpoint(directory: Path) -> Path | None:
    """The newest complete checkpoint. Others, left by a kill while they were written or removed, are removed."""
    found = []
    for path in directory.glob("checkpoint-*"):
        if (path / COMPLETE).is_file() and all((path / name).is_file() for name in _mark(path)[1:]):
            found.append(path)
        else:
            discard(path)
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def _mark(checkpoint: Path) -> list[str]:
    return (checkpoint / COMPLETE).read_text(encoding="utf-8").split("\n")


def best_precision() -> Computed:
    """bf16 where the GPU or the CPU multiplies it natively, fp16 on older GPUs, else fp32."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def chosen_precision(asked: Literal["auto"] | Computed) -> Computed:
    """What is meant by ``auto``, or what was asked for. Raises `UserError` for what this machine cannot do."""
    if asked == "fp16" and not torch.cuda.is_available():
        raise UserError("precision fp16 needs a GPU; use bf16 or fp32")
    return best_precision() if asked == "auto" else asked
