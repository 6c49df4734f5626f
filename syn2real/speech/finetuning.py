"""Fine-tuning a recogniser on a corpus through transformers' Trainer, in windows as short as the clips allow."""

import gc
import json
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments

from syn2real.errors import UserError
from syn2real.hashing import remembered_sha256
from syn2real.lora import ADAPTER, add_adapters, save_adapters
from syn2real.saving import saving
from syn2real.sealing import discard, require_space, write_text
from syn2real.speech.batch_order import BatchOrder, ByNumber, BySeconds
from syn2real.speech.batching import Augment, ClipDataset, Collator
from syn2real.speech.checkpoints import Marks, described, identity_of
from syn2real.speech.compiling import compile_layers
from syn2real.speech.corpus import Corpus
from syn2real.speech.freezing import freeze, hold_statistics, train_only
from syn2real.speech.lora import adapted_layers
from syn2real.speech.pretrained import weight_files
from syn2real.speech.processes import in_turn, is_first, process, processes, wait
from syn2real.speech.recogniser import Recogniser, load_recogniser
from syn2real.speech.trainer import SpeechTrainer, default_workers, tensorboard_logs
from syn2real.speech.training import DEFAULTS, TrainingSettings
from syn2real.training_state import (
    CHECKPOINTS,
    Computed,
    Progress,
    chosen_precision,
    keep_only,
    last_checkpoint,
    resumable,
    train,
)


def finetune(
    model: Path,
    corpus: Corpus,
    output: Path,
    settings: TrainingSettings = DEFAULTS,
    *,
    dev: Corpus | None = None,
    language: str | None = None,
    augmentation: Augment | None = None,
    title: str = "fine-tuning",
    workers: int | None = None,
    tensorboard: Path | None = None,
) -> None:
    """Fine-tune the recogniser in ``model`` on ``corpus`` into ``output``, a Hugging Face directory.

    ``output`` is a directory the caller seals (a stage's, or `sealing.sealed_directory` with ``resume=True``); when it
    holds the checkpoints of an earlier, killed run, training goes on from the last complete one and ends in the same
    bytes. With ``dev`` the model of the lowest dev loss is kept and training stops early. ``augmentation`` changes the
    samples of the training clips, never those of ``dev``; see `batching.Augment`. ``workers`` processes read clips
    ahead of the training, by default `trainer.default_workers`; ``tensorboard`` is a directory for its logs. Neither
    changes the result.

    As one of several processes (`processes`) it hears its share of each batch, and the first of them writes.

    Raises `UserError` for an empty corpus, a recording that cannot be used, a transcript that the model cannot write,
    a model that is no recogniser, or settings that this machine cannot follow.
    """
    if not len(corpus):
        raise UserError("nothing to fine-tune on: the corpus is empty")
    precision = chosen_precision(settings.precision)
    corpus.require_sound()
    if dev is not None:
        dev.require_sound()
    recogniser = load_recogniser(model, language)
    identity = identity_of(model, corpus, dev, settings, language, augmentation)
    checkpoints = output / CHECKPOINTS
    progress = Progress(title)
    with recogniser.trained(spec_augment=settings.spec_augment):
        network = _prepared(recogniser, settings)
        with in_turn():
            if is_first():
                require_space(output, _space(network))
                keep_only(checkpoints, identity)
            checkpoint = last_checkpoint(checkpoints)
        callbacks: list[TrainerCallback] = [Marks()]
        if dev is not None:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
        if is_first():
            callbacks.append(progress)
            if tensorboard is not None:
                callbacks.append(tensorboard_logs(tensorboard, checkpoint))
        padded = recogniser.windowed and settings.full_windows == 1
        trainer = SpeechTrainer(
            model=network,
            args=_arguments(checkpoints, settings, precision, workers, evaluated=dev is not None),
            train_dataset=ClipDataset(corpus, recogniser, augmentation),
            eval_dataset=ClipDataset(dev, recogniser, full=padded) if dev is not None else None,
            data_collator=Collator(recogniser),
            callbacks=callbacks,
            recogniser=recogniser,
            order=_order(corpus, recogniser, settings),
            layer_decay=settings.layer_decay,
        )
        train(trainer, checkpoint, progress)
    wait()
    if is_first():
        with saving(output):
            if settings.lora is not None:
                save_adapters(network, output / ADAPTER)
                network.merge_and_unload()
            recogniser.save(output, full_windows=settings.full_windows)
        record = {
            "settings": settings.record(),
            **({"base": _weights(model)} if settings.lora is not None else {}),  # what the adapters belong to
            **described(augmentation),
            **({"processes": processes()} if processes() > 1 else {}),
            "clips": len(corpus),
            "seconds": round(corpus.duration, 2),
            "steps": trainer.state.global_step,
            "log": [
                {name: row[name] for name in ("step", "loss", "eval_loss", "learning_rate") if name in row}
                for row in trainer.state.log_history
                if "loss" in row or "eval_loss" in row
            ],
        }
        write_text(output / "training.json", json.dumps(record, indent=2) + "\n")
        discard(checkpoints)
    # A trainer refers to itself, and holds the model with its gradients and moments until the collector comes by, which
    # counts objects and not bytes.
    del trainer, network, recogniser
    gc.collect()


def _prepared(recogniser: Recogniser, settings: TrainingSettings) -> Any:
    """The network to be trained: the recogniser's, or adapters in it, with what is frozen marked so."""
    network = recogniser.model
    if settings.gradient_checkpointing:
        # Under a new name in newer releases.
        enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if settings.freeze:
        freeze(network, settings.freeze)
    if settings.train_only:
        train_only(network, settings.train_only)
    if settings.lora is not None:
        layers = adapted_layers(network, settings.lora.targets)
        network = add_adapters(network, settings.lora, layers, settings.seed)
    if settings.freeze or settings.train_only or settings.lora is not None:
        hold_statistics(network)
    if settings.compile:
        compile_layers(network)
    return network


def _weights(model: Path) -> dict[str, str]:
    """The SHA-256 of each file of weights."""
    return {path.name: remembered_sha256(path) for path in weight_files(model)}


def _space(network: torch.nn.Module) -> int:
    """Bytes that a training needs: up to three checkpoints of weights and two moments, and the model, in float32."""
    weights = list(network.parameters())
    return 4 * sum(weight.numel() * (10 if weight.requires_grad else 4) for weight in weights)


def _order(corpus: Corpus, recogniser: Recogniser, settings: TrainingSettings) -> BatchOrder:
    """This process's share of every batch."""
    full_windows = settings.full_windows if recogniser.windowed else 0.0
    durations = [utterance.duration for utterance in corpus]
    if settings.batch_seconds is not None:
        grouping: ByNumber | BySeconds = BySeconds(durations, settings.batch_seconds, full_windows)
    else:
        grouping = ByNumber(durations, settings.batch_size)
    return BatchOrder(grouping, full_windows, settings.seed, process(), processes())


def _arguments(
    directory: Path, settings: TrainingSettings, precision: Computed, workers: int | None, *, evaluated: bool
) -> TrainingArguments:
    arguments = TrainingArguments(
        **resumable(directory, checkpoint_steps=settings.checkpoint_steps, seed=settings.seed, evaluated=evaluated),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_num_workers=default_workers() if workers is None else workers,
        # A short window leaves the encoder's positions out; layers and masks may be dropped at random.
        ddp_find_unused_parameters=True,
        log_level_replica="error",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # in one process one GPU: threads would share the window of the encoder
    return arguments
