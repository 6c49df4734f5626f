"""The trainers of TRL, one for each method, with what is ours in common: order, precision, checkpoints."""

from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, Trainer

from syn2real.language.tuning.head import lighten_head
from syn2real.language.tuning.order import SimilarLengths
from syn2real.language.tuning.rendering import Rows
from syn2real.language.tuning.settings import TuningSettings
from syn2real.saving import saving
from syn2real.training_state import Marks, Progress, chosen_precision, resumable

LENGTH_COLUMNS = ("input_ids", "chosen_input_ids", "chosen_ids")  # of sft, orpo, dpo


class Discreet:
    """What all trainers have in common, put before each of TRL's: they save, and otherwise keep to themselves."""

    def _save_checkpoint(self, *arguments: Any) -> None:
        with saving(Path(str(self.args.output_dir))):  # type: ignore[attr-defined]
            super()._save_checkpoint(*arguments)  # type: ignore[misc]

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: a checkpoint is no model to be shown."""

    def _send_telemetry(self) -> None:
        """Nothing: what is trained here is nobody's business."""


class _Ordered(Discreet):
    """The order of the examples is ours."""

    def _get_train_sampler(self, *_: Any) -> SimilarLengths:
        data = self.train_dataset  # type: ignore[attr-defined]
        column = next(name for name in LENGTH_COLUMNS if name in data.column_names)
        args = self.args  # type: ignore[attr-defined]
        return SimilarLengths([len(row) for row in data[column]], args.per_device_train_batch_size, args.seed)


def make_trainer(
    network: Any,
    tokenizer: Any,
    train: Rows,
    dev: Rows | None,
    directory: Path,
    settings: TuningSettings,
    progress: Progress,
) -> Trainer:
    """The trainer of the method, its checkpoints in ``directory``."""
    config_class, trainer_class, own = _classes(settings)
    from datasets import Dataset

    callbacks: list[Any] = [Marks(), progress]
    if dev is not None:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    trainer = type(trainer_class.__name__, (_Ordered, trainer_class), {})(
        model=network,
        args=config_class(**_arguments(directory, settings, dev is not None), **own),
        train_dataset=Dataset.from_dict(train.columns),
        eval_dataset=Dataset.from_dict(dev.columns) if dev is not None else None,
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    if not torch.cuda.is_available() and settings.method != "orpo":  # whose loss is of all tokens
        lighten_head(network.get_base_model() if settings.lora is not None else network)
    return trainer


def _classes(settings: TuningSettings) -> tuple[Any, Any, dict[str, Any]]:
    """Of the method: the class of its configuration, that of its trainer, and what the configuration takes alone."""
    if settings.method == "sft":
        from trl import SFTConfig, SFTTrainer

        return SFTConfig, SFTTrainer, {"packing": settings.packing}
    own = {"beta": settings.beta, "disable_dropout": not settings.dropout}
    if settings.method == "dpo":
        from trl import DPOConfig, DPOTrainer

        # The model one started from is asked once for each reply, and not kept beside the one that is trained.
        return DPOConfig, DPOTrainer, own | {"precompute_ref_log_probs": True}
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return ORPOConfig, ORPOTrainer, own | {"remove_unused_columns": False}


def _arguments(directory: Path, settings: TuningSettings, with_dev: bool) -> dict[str, Any]:
    """What all configurations take."""
    precision = chosen_precision(settings.precision)
    # A packed row is as long as many examples: side by side in one batch they would be one longer row still.
    size = 1 if settings.packing else settings.batch_size
    return {
        **resumable(directory, checkpoint_steps=settings.checkpoint_steps, seed=settings.seed, evaluated=with_dev),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule if settings.schedule != "constant" else "constant_with_warmup",
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "per_device_train_batch_size": size,
        "per_device_eval_batch_size": size,
        "gradient_accumulation_steps": settings.accumulation * settings.batch_size // size,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if settings.gradient_checkpointing else None,
        "max_length": settings.cut_off,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "logging_first_step": True,
    }
