"""`finetune`: a recogniser learns from a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syn2real.cli.output import BatchSize, Json, Language, Manifest, Model, Overwrite, print_json
from syn2real.cli.startup import load_recognisers
from syn2real.speech.training import DEFAULTS, LoraSettings

if TYPE_CHECKING:
    from syn2real.speech.augmentation import Augmentation

Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("finetune")(finetune)


def finetune(
    manifest: Manifest,
    output: Output,
    model: Model = "whisper-base",
    language: Language = None,
    dev: Annotated[Path | None, typer.Option(help="Manifest that stops training early and picks the model.")] = None,
    epochs: Annotated[float, typer.Option(help="Passes over the corpus.")] = DEFAULTS.epochs,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = DEFAULTS.learning_rate,
    batch_size: BatchSize = DEFAULTS.batch_size,
    full_windows: Annotated[float, typer.Option(help="Share of clips padded to 30 s.")] = DEFAULTS.full_windows,
    patience: Annotated[int, typer.Option(help="Evaluations without progress before stopping.")] = DEFAULTS.patience,
    lora_rank: Annotated[
        int | None, typer.Option(min=1, help="Train LoRA adapters of this rank instead of the weights.")
    ] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="What scales them, over the rank.")] = None,
    lora_dropout: Annotated[float | None, typer.Option(help="Dropout of what they hear.")] = None,
    lora_target: Annotated[
        list[str] | None, typer.Option(help="A linear layer's name or its end; repeatable. Default: attention and MLP.")
    ] = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="Scale them over the rank's square root.")] = False,
    freeze: Annotated[
        list[str] | None, typer.Option(help="Weights left as they are: encoder, decoder, embeddings, …; repeatable.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory for more time.")
    ] = False,
    spec_augment: Annotated[bool, typer.Option("--spec-augment", help="Mask stretches of time and frequency.")] = False,
    augment: Annotated[
        str | None, typer.Option(help="Change the clips anew in every epoch: a preset, or a YAML file of transforms.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Order of the clips, and all else that is drawn.")] = DEFAULTS.seed,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fine-tune a Whisper or CTC model on a corpus. The same command goes on after an interruption.

    With --lora-rank the model is written with its adapters merged in, and the
    adapters beside it in adapter/.

    [bold]Examples[/bold]

      syn2real finetune train/manifest.jsonl --model whisper-tiny.en --output tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --dev dev/manifest.jsonl -o tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --lora-rank 16 --learning-rate 1e-3 -o tuned
      syn2real finetune train/manifest.jsonl -m whisper-base -l es --freeze encoder --augment broad -o tuned
      syn2real finetune train/manifest.jsonl -m facebook/wav2vec2-base-960h --learning-rate 3e-5 -o tuned
    """
    import json

    from syn2real.sealing import sealed_directory
    from syn2real.speech.corpus import Corpus
    from syn2real.speech.pretrained import resolve_model

    corpus = Corpus.load(manifest)
    dev_corpus = Corpus.load(dev) if dev else None
    lora = _lora(lora_rank, lora_alpha, lora_dropout, lora_target, rslora)
    augmentation = _augmentation(augment, seed) if augment else None
    base = resolve_model(model)
    load_recognisers()
    from syn2real.speech.finetuning import finetune as tune
    from syn2real.speech.training import TrainingSettings

    settings = TrainingSettings(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        full_windows=full_windows,
        patience=patience,
        seed=seed,
        lora=lora,
        freeze=tuple(freeze) if freeze else None,
        gradient_checkpointing=gradient_checkpointing,
        spec_augment=spec_augment,
    )
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        tune(base, corpus, partial, settings, dev=dev_corpus, language=language, augmentation=augmentation)
    record = json.loads((output / "training.json").read_text())
    if as_json:
        print_json({"model": str(output), **record})
    else:
        losses = [row["loss"] for row in record["log"] if "loss" in row]
        ending = f", loss {losses[-1]:.3f}" if losses else ""
        typer.echo(f"{output}: {record['steps']} steps over {record['clips']} clips{ending}")


def _lora(
    rank: int | None, alpha: float | None, dropout: float | None, targets: list[str] | None, stabilised: bool
) -> LoraSettings | None:
    from syn2real.errors import UserError

    given = {"alpha": alpha, "dropout": dropout, "targets": tuple(targets) if targets else None}
    given = {name: value for name, value in given.items() if value is not None}
    if rank is None:
        if given or stabilised:
            raise UserError("the other options of LoRA need its rank: add --lora-rank, for instance 8")
        return None
    return LoraSettings(rank=rank, stabilised=stabilised, **given)  # type: ignore[arg-type]


def _augmentation(name: str, seed: int) -> "Augmentation":
    from syn2real.speech.augmentation import Augmentation

    return Augmentation.load(Path(name), seed) if Path(name).is_file() else Augmentation.from_spec(name, seed)
