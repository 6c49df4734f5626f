"""Fine-tuning a recogniser on a corpus through transformers' Trainer, in windows as short as the clips allow."""

import gc
import json
import shutil
from dataclasses import is_dataclass
from math import gcd
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.progress import Bar, say
from syn2real.sealing import flush_tree, require_space, write_text
from syn2real.speech.augmentation import Augmentation
from syn2real.speech.batching import Augment, BucketSampler, ClipDataset
from syn2real.speech.corpus import Corpus
from syn2real.speech.freezing import freeze, hold_statistics
from syn2real.speech.lora import ADAPTER, add_adapters, save_adapters
from syn2real.speech.recogniser import Recogniser, load_recogniser
from syn2real.speech.saving import saving
from syn2real.speech.training import DEFAULTS, Precision, TrainingSettings

CHECKPOINTS = "trainer"  # where a running training keeps its state, inside its output directory
IDENTITY = "identity.json"  # what the checkpoints beside it were made with
COMPLETE = "complete"  # marks a checkpoint whose last byte is on disk
LAST = "last"  # in that mark: training is over, by its steps or by patience
LOGGED = 5  # steps between two losses in the log


class SpeechTrainer(Trainer):
    """Trainer whose batches come length by length, and whose loss is the recogniser's."""

    def __init__(self, *args: Any, recogniser: Recogniser, sampler: BucketSampler, **kwargs: Any) -> None:
        self._recogniser = recogniser
        self._sampler = sampler
        super().__init__(*args, **kwargs)

    def _get_train_sampler(self, *_: Any) -> Sampler:
        return self._sampler

    def take_up_the_end(self, checkpoint: Path) -> None:
        """What `train` leaves when it ends, from its last checkpoint. (`train` itself would forget that it was to stop,
        and go on after an early stop.)"""
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        best = self.state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(best or str(checkpoint))

    def _save_checkpoint(self, *arguments: Any) -> None:
        with saving(Path(str(self.args.output_dir))):
            super()._save_checkpoint(*arguments)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        """The recogniser's loss of one batch."""
        loss = self._recogniser.loss(model, inputs)
        # Layers may be dropped at random; now and then all that are trained are.
        if model.training and not loss.requires_grad:
            loss = loss + 0 * sum(weight.sum() for weight in model.parameters() if weight.requires_grad)
        return loss

    def prediction_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        """Loss of one dev batch, likewise."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs).detach(), None, None


class _Progress(TrainerCallback):
    """Shows steps and loss; marks each checkpoint complete once all of it is written, and the last as such."""

    def __init__(self, title: str) -> None:
        self.bar = Bar(title)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.start(total=state.max_steps, done=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.bar.note(f"loss {float(logs['loss']):.3f}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        flush_tree(checkpoint)
        write_text(checkpoint / COMPLETE, LAST if control.should_training_stop else "")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.stop()


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
) -> None:
    """Fine-tune the recogniser in ``model`` on ``corpus`` into ``output``, a Hugging Face directory.

    ``output`` is a directory the caller seals (a stage's, or `sealing.sealed_directory` with ``resume=True``); when it
    holds the checkpoints of an earlier, killed run, training goes on from the last complete one and ends in the same
    bytes. With ``dev`` the model of the lowest dev loss is kept and training stops early. ``augmentation`` changes the
    samples of the training clips, never those of ``dev``; see `batching.Augment`.

    Raises `UserError` for an empty corpus, a recording that cannot be used, a transcript that the model cannot write,
    or a model that is no recogniser.
    """
    if not len(corpus):
        raise UserError("nothing to fine-tune on: the corpus is empty")
    corpus.require_sound()
    if dev is not None:
        dev.require_sound()
    recogniser = load_recogniser(model, language)
    identity = _identity(model, corpus, dev, settings, language, augmentation)
    progress = _Progress(title)
    with recogniser.trained(spec_augment=settings.spec_augment):
        network = _prepared(recogniser, settings)
        require_space(output, _space(network))
        _keep_only(output / CHECKPOINTS, identity)
        trainer = _trainer(network, recogniser, corpus, dev, output / CHECKPOINTS, settings, augmentation, progress)
        try:
            _train(trainer, last_checkpoint(output / CHECKPOINTS))
        finally:
            progress.bar.stop()
    with saving(output):
        if settings.lora is not None:
            save_adapters(network, output / ADAPTER)
            network.merge_and_unload()
        recogniser.save(output)
    record = {
        "settings": settings.record(),
        **({"base": identity["model"]} if settings.lora is not None else {}),  # what the adapters belong to
        **_described(augmentation),
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
    shutil.rmtree(output / CHECKPOINTS)
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
    if settings.lora is not None:
        network = add_adapters(network, settings.lora, settings.seed)
    if settings.freeze or settings.lora is not None:
        hold_statistics(network)
    return network


def _space(network: torch.nn.Module) -> int:
    """Bytes that a training needs: up to three checkpoints of weights and two moments, and the model, in float32."""
    weights = list(network.parameters())
    return 4 * sum(weight.numel() * (10 if weight.requires_grad else 4) for weight in weights)


def _train(trainer: SpeechTrainer, checkpoint: Path | None) -> None:
    """Train, going on from a checkpoint where there is one."""
    if checkpoint is not None and (checkpoint / COMPLETE).read_text(encoding="utf-8") == LAST:
        trainer.take_up_the_end(checkpoint)
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _identity(
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
    } | _described(augmentation)


def _described(augmentation: Augment | None) -> dict[str, Any]:
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


def _keep_only(directory: Path, identity: dict[str, Any]) -> None:
    """Drop checkpoints of another model, corpus or settings: going on from them would be neither training."""
    record = directory / IDENTITY
    text = json.dumps(identity, sort_keys=True)
    if directory.exists() and not (record.is_file() and record.read_text(encoding="utf-8") == text):
        say("an unfinished training of other settings or clips was there; starting anew")
        shutil.rmtree(directory)
    write_text(record, text)


def best_precision() -> Precision:
    """bf16 where the GPU or the CPU multiplies it natively, fp16 on older GPUs, else fp32."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def last_checkpoint(directory: Path) -> Path | None:
    """The newest complete checkpoint. Unfinished ones, left by a kill while writing, are removed."""
    found = []
    for path in directory.glob("checkpoint-*"):
        if (path / COMPLETE).is_file():
            found.append(path)
        else:
            shutil.rmtree(path)
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def _trainer(
    network: Any,
    recogniser: Recogniser,
    corpus: Corpus,
    dev: Corpus | None,
    directory: Path,
    settings: TrainingSettings,
    augmentation: Augment | None,
    progress: "_Progress",
) -> SpeechTrainer:
    cuda = torch.cuda.is_available()
    precision = best_precision() if settings.precision == "auto" else settings.precision
    arguments = TrainingArguments(
        output_dir=str(directory.absolute()),  # noted in checkpoints as the place of the best
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        use_cpu=not cuda,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        # A loss is the mean since the one before, which a resumed run knows only if checkpoints lie on logged steps.
        logging_steps=gcd(LOGGED, settings.checkpoint_steps),
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,
        eval_strategy="steps" if dev is not None else "no",
        eval_steps=settings.checkpoint_steps if dev is not None else None,
        load_best_model_at_end=dev is not None,
        metric_for_best_model="eval_loss" if dev is not None else None,
        greater_is_better=False if dev is not None else None,
        restore_callback_states_from_checkpoint=True,  # else a resumed run forgets how long it has waited
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        seed=settings.seed,
        data_seed=settings.seed,
        dataloader_pin_memory=cuda,
        disable_tqdm=True,
    )
    full_windows = settings.full_windows if recogniser.windowed else 0.0
    callbacks: list[TrainerCallback] = [progress]
    if dev is not None:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    trainer = SpeechTrainer(
        model=network,
        args=arguments,
        train_dataset=ClipDataset(corpus, recogniser, augmentation),
        eval_dataset=ClipDataset(dev, recogniser) if dev is not None else None,
        data_collator=recogniser.collate,
        callbacks=callbacks,
        recogniser=recogniser,
        sampler=BucketSampler([u.duration for u in corpus], settings.batch_size, full_windows, settings.seed),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer
