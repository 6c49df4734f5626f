"""`finetune`: a recogniser learns from a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syn2real.cli.output import BatchSize, Json, Language, Manifest, Model, Overwrite, print_json
from syn2real.cli.startup import load_recognisers
from syn2real.cli.training import GradientCheckpointing, LoraAlpha, LoraRank, LoraTarget, lora_of, print_ending
from syn2real.speech.training import DEFAULTS

if TYPE_CHECKING:
    from syn2real.speech.augmentation import Augmentation

CURVE = "learning_curve.png"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("finetune")(finetune)


def finetune(
    manifest: Manifest,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")],
    model: Model = "whisper-base",
    language: Language = None,
    dev: Annotated[Path | None, typer.Option(help="Manifest that stops training early and picks the model.")] = None,
    epochs: Annotated[float, typer.Option(help="Passes over the corpus.")] = DEFAULTS.epochs,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = DEFAULTS.learning_rate,
    batch_size: BatchSize = DEFAULTS.batch_size,
    batch_seconds: Annotated[
        float | None,
        typer.Option(help="Instead: seconds heard at once, padding included; 30 or more."),
    ] = DEFAULTS.batch_seconds,
    accumulation: Annotated[int, typer.Option(min=1, help="Batches of a step.")] = DEFAULTS.accumulation,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the rate rises.")] = DEFAULTS.warmup,
    weight_decay: Annotated[float, typer.Option(help="Pull of the weights towards 0.")] = DEFAULTS.weight_decay,
    layer_decay: Annotated[
        float, typer.Option(help="Learning rate of a layer over that of the one above it; 1: the same for all.")
    ] = DEFAULTS.layer_decay,
    full_windows: Annotated[float, typer.Option(help="Share of clips padded to 30 s.")] = DEFAULTS.full_windows,
    patience: Annotated[int, typer.Option(help="Evaluations without progress before stopping.")] = DEFAULTS.patience,
    checkpoint_steps: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints, and between evaluations.")
    ] = DEFAULTS.checkpoint_steps,
    lora_rank: LoraRank = None,
    lora_alpha: LoraAlpha = None,
    lora_dropout: Annotated[float | None, typer.Option(help="Dropout of what they hear.")] = None,
    lora_target: LoraTarget = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="Scale them over the rank's square root.")] = False,
    freeze: Annotated[
        list[str] | None, typer.Option(help="Weights left as they are: encoder, decoder, embeddings, …; repeatable.")
    ] = None,
    train_only: Annotated[
        list[str] | None, typer.Option(help="Weights outside of which none is trained: norm, decoder, …; repeatable.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16, or fp16 on a GPU. Weights stay fp32.")
    ] = DEFAULTS.precision,
    gradient_checkpointing: GradientCheckpointing = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the layers; for a GPU.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read clips ahead. Default: 0 on a CPU, up to 4 per GPU.")
    ] = None,
    spec_augment: Annotated[bool, typer.Option("--spec-augment", help="Mask stretches of time and frequency.")] = False,
    augment: Annotated[
        str | None, typer.Option(help="Change the clips anew in every epoch: a preset, or a YAML file of transforms.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Order of the clips, and all else that is drawn.")] = DEFAULTS.seed,
    tensorboard: Annotated[Path | None, typer.Option(help="Directory for logs that TensorBoard shows.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a Whisper or CTC model on a corpus. The same command goes on after an interruption.

    Beside the model lie training.json and learning_curve.png. With --lora-rank
    the model is written with its adapters merged in, and the adapters beside it
    in adapter/. Under torchrun the processes share each batch out: the same
    training, sooner. See docs/finetuning.md.

    [bold]Examples[/bold]

      syn2real finetune train/manifest.jsonl --model whisper-tiny.en --output tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --dev dev/manifest.jsonl -o tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --batch-seconds 120 --accumulation 2 -o tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --lora-rank 16 --learning-rate 1e-3 -o tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --freeze encoder --augment broad -o tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --train-only norm --learning-rate 1e-3 -o tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --layer-decay 0.8 --tensorboard logs -o tuned
      syn2real finetune train/manifest.jsonl -m facebook/wav2vec2-base-960h --learning-rate 3e-5 -o tuned
      torchrun --nproc-per-node 2 -m syn2real finetune train/manifest.jsonl -m whisper-base -l es -o tuned
    """
    import json

    from syn2real.speech.corpus import Corpus
    from syn2real.speech.pretrained import resolve_model
    from syn2real.speech.processes import in_turn, is_first, leave, sealed_once
    from syn2real.speech.training import TrainingSettings

    with in_turn():
        settings = TrainingSettings(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            warmup=warmup,
            weight_decay=weight_decay,
            full_windows=full_windows,
            patience=patience,
            precision=precision,  # type: ignore[arg-type]
            checkpoint_steps=checkpoint_steps,
            seed=seed,
            lora=lora_of(lora_rank, lora_alpha, lora_target, lora_dropout, rslora),
            freeze=tuple(freeze) if freeze else None,
            gradient_checkpointing=gradient_checkpointing,
            spec_augment=spec_augment,
            batch_seconds=batch_seconds,
            accumulation=accumulation,
            train_only=tuple(train_only) if train_only else None,
            layer_decay=layer_decay,
            compile=compiled,
        )
        if tensorboard is not None:
            _require_tensorboard(tensorboard)
        corpus = Corpus.load(manifest)
        dev_corpus = Corpus.load(dev) if dev else None
        augmentation = _augmentation(augment, seed) if augment else None
        base = resolve_model(model)
    load_recognisers()
    from syn2real.speech.finetuning import finetune as tune

    with sealed_once(output, overwrite=overwrite) as partial:
        tune(
            base,
            corpus,
            partial,
            settings,
            dev=dev_corpus,
            language=language,
            augmentation=augmentation,
            workers=workers,
            tensorboard=tensorboard,
        )
        if is_first():
            from syn2real.reports.learning import draw_learning

            record = json.loads((partial / "training.json").read_text(encoding="utf-8"))
            (partial / CURVE).write_bytes(draw_learning(record, output.name))
    leave()
    if not is_first():
        return
    if as_json:
        print_json({"model": str(output), **record})
    else:
        print_ending(output, record, "clips")


def _augmentation(name: str, seed: int) -> "Augmentation":
    from syn2real.speech.augmentation import Augmentation

    return Augmentation.load(Path(name), seed) if Path(name).is_file() else Augmentation.from_spec(name, seed)


def _require_tensorboard(directory: Path) -> None:
    from importlib.util import find_spec

    from syn2real.errors import NotInstalled, UserError

    if find_spec("tensorboard") is None:
        raise NotInstalled("tensorboard", "tensorboard")
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory}: is a file; --tensorboard takes a directory")
