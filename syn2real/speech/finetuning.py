"""Fine-tuning Whisper on a corpus through transformers' Seq2SeqTrainer, in windows as short as the clips allow."""

import json
import shutil
from dataclasses import dataclass, is_dataclass
from math import gcd
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerState,
)
from transformers.trainer import TRAINER_STATE_NAME

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.progress import Bar, say
from syn2real.sealing import flush_tree, require_space, write_text
from syn2real.speech import audio
from syn2real.speech.batching import Augment, BucketSampler, ClipDataset
from syn2real.speech.corpus import Corpus
from syn2real.speech.saving import saving
from syn2real.speech.training import DEFAULTS, Precision, TrainingSettings
from syn2real.speech.whisper import SHORT_WINDOWS, Recogniser, encoder_window

FULL = "full_"  # prefix of the tensors that are padded to 30 s
IGNORED = -100  # label the loss leaves out
CHECKPOINTS = "trainer"  # where a running training keeps its state, inside its output directory
IDENTITY = "identity.json"  # what the checkpoints beside it were made with
COMPLETE = "complete"  # marks a checkpoint whose last byte is on disk
LAST = "last"  # in that mark: training is over, by its steps or by patience
LOGGED = 5  # steps between two losses in the log


@dataclass
class Collator:
    """Clips and labels to tensors: those cut to the longest among them, and apart from them those padded to 30 s."""

    recogniser: Recogniser

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of one batch; those of the clips padded to 30 s are prefixed with ``full_``."""
        short = [item for item in items if not item["full"]]
        full = [item for item in items if item["full"]]
        batch: dict[str, torch.Tensor] = {}
        if short:
            seconds = max(len(item["samples"]) for item in short) / audio.SAMPLE_RATE
            batch |= self._tensors(short, seconds, "")
        if full:
            batch |= self._tensors(full, audio.WINDOW, FULL)
        return batch

    def _tensors(self, items: list[dict[str, Any]], seconds: float, prefix: str) -> dict[str, torch.Tensor]:
        width = max(len(item["labels"]) for item in items)
        # Whisper pads with its end token, so labels are masked by length and never by id.
        labels = torch.full((len(items), width), IGNORED)
        for row, item in enumerate(items):
            labels[row, : len(item["labels"])] = torch.tensor(item["labels"])
        features = self.recogniser.encode([item["samples"] for item in items], seconds)
        return {f"{prefix}input_features": features, f"{prefix}labels": labels}


class WindowTrainer(Seq2SeqTrainer):
    """Seq2SeqTrainer whose batches may be shorter than 30 s and come length by length."""

    def __init__(self, *args: Any, sampler: BucketSampler, **kwargs: Any) -> None:
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
        """Mean loss per label token over both windows of a batch, the encoder cut to each in turn."""
        total, tokens = torch.zeros((), device=self.args.device), 0
        for prefix in ("", FULL):
            if f"{prefix}labels" not in inputs:
                continue
            features, labels = inputs[f"{prefix}input_features"], inputs[f"{prefix}labels"]
            with encoder_window(self.accelerator.unwrap_model(model), features.shape[-1]):
                loss = model(input_features=features, labels=labels).loss
            count = int((labels != IGNORED).sum())
            total, tokens = total + loss * count, tokens + count
        return total / tokens

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
    """Fine-tune the Whisper model in ``model`` on ``corpus`` into ``output``, a Hugging Face directory.

    ``output`` is a directory the caller seals (a stage's, or `sealing.sealed_directory` with ``resume=True``); when it
    holds the checkpoints of an earlier, killed run, training goes on from the last complete one and ends in the same
    bytes. With ``dev`` the model of the lowest dev loss is kept and training stops early. ``augmentation`` changes the
    samples of the training clips, never those of ``dev``; see `batching.Augment`.

    Raises `UserError` for an empty corpus, a recording that cannot be used, or a model that is no Whisper model.
    """
    if not len(corpus):
        raise UserError("nothing to fine-tune on: the corpus is empty")
    corpus.require_sound()
    if dev is not None:
        dev.require_sound()
    recogniser = Recogniser.load(model, language)
    # Up to three checkpoints of weights and two moments, and the model itself, in float32.
    require_space(output, 10 * 4 * sum(weight.numel() for weight in recogniser.model.parameters()))
    _keep_only(output / CHECKPOINTS, _identity(model, corpus, dev, settings, language, augmentation))
    progress = _Progress(title)
    trainer = _trainer(recogniser, corpus, dev, output / CHECKPOINTS, settings, augmentation, progress)
    try:
        checkpoint = last_checkpoint(output / CHECKPOINTS)
        if checkpoint is not None and (checkpoint / COMPLETE).read_text(encoding="utf-8") == LAST:
            trainer.take_up_the_end(checkpoint)
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        progress.bar.stop()
    tuned = recogniser.model
    setattr(tuned.config, SHORT_WINDOWS, True)
    tuned.config.use_cache = True
    with saving(output):
        tuned.save_pretrained(output)
        recogniser.tokenizer.save_pretrained(output)
        recogniser.features.save_pretrained(output)
    record = {
        "settings": settings.record(),
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


def _described(augmentation: Augment | None) -> dict[str, str]:
    """What tells one augmentation from another: a dataclass by its fields, a function by its name."""
    if augmentation is None:
        return {}
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
    recogniser: Recogniser,
    corpus: Corpus,
    dev: Corpus | None,
    directory: Path,
    settings: TrainingSettings,
    augmentation: Augment | None,
    progress: "_Progress",
) -> WindowTrainer:
    cuda = torch.cuda.is_available()
    precision = best_precision() if settings.precision == "auto" else settings.precision
    arguments = Seq2SeqTrainingArguments(
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
    model = recogniser.model
    model.config.use_cache = False
    callbacks: list[TrainerCallback] = [progress]
    if dev is not None:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    trainer = WindowTrainer(
        model=model,
        args=arguments,
        train_dataset=ClipDataset(corpus, recogniser, augmentation),
        eval_dataset=ClipDataset(dev, recogniser) if dev is not None else None,
        data_collator=Collator(recogniser),
        callbacks=callbacks,
        sampler=BucketSampler([u.duration for u in corpus], settings.batch_size, settings.full_windows, settings.seed),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer
