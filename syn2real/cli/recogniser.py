"""`finetune`, `transcribe`, `evaluate` and `score`: the single steps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import Json, Language, Model, Overwrite, console, print_json
from syn2real.speech.training import DEFAULTS, LoraSettings

if TYPE_CHECKING:
    from syn2real.speech.augmentation import Augmentation

Manifest = Annotated[Path, typer.Argument(help="A JSONL manifest with audio_filepath and text.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")]
WindowOption = Annotated[
    str, typer.Option(help="full: pad to 30 s; short: cut to the longest clip; auto: short if trained so.")
]
NormaliserOption = Annotated[str, typer.Option("--normaliser", "-n", help="none, basic or english; on both sides.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips heard at once.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (finetune, transcribe, evaluate, score):
        app.command(command.__name__)(command)


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


def transcribe(
    manifest: Manifest,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSONL file; default stdout.")] = None,
    model: Model = "whisper-base",
    language: Language = None,
    window: WindowOption = "auto",
    batch_size: BatchSize = 16,
    beams: Annotated[int, typer.Option(min=1, help="Beam width; 1 is greedy.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Transcribe a corpus to JSONL: every line of the manifest with pred_text added.

    CTC models hear every clip at its own length and greedily: --window and
    --beams are Whisper's.

    [bold]Examples[/bold]

      syn2real transcribe test/manifest.jsonl --model adapted/model --language es --output hypotheses.jsonl
      syn2real transcribe test/manifest.jsonl -m whisper-tiny.en --window full
    """
    import json

    from syn2real.sealing import require_absent_file

    if output is not None:
        require_absent_file(output, overwrite=overwrite)
    rows = _hear(manifest, model, language, window, batch_size, beams)
    if output is None:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        from syn2real.lines import write_jsonl

        write_jsonl(output, rows)


def evaluate(
    manifest: Manifest,
    model: Model = "whisper-base",
    language: Language = None,
    window: WindowOption = "auto",
    batch_size: BatchSize = 16,
    normaliser: NormaliserOption = "basic",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Keep the hypotheses in this JSONL.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Transcribe a corpus and score it: WER with its interval, counts, CER, by domain.

    [bold]Examples[/bold]

      syn2real evaluate test/manifest.jsonl --model whisper-tiny.en
      syn2real evaluate test/manifest.jsonl -m adapted/model -l es --json
    """
    from syn2real.lines import write_jsonl
    from syn2real.sealing import require_absent_file
    from syn2real.speech.scoring import Pair

    if output is not None:
        require_absent_file(output, overwrite=overwrite)
    rows = _hear(manifest, model, language, window, batch_size, 1)
    if output is not None:
        write_jsonl(output, rows)
    pairs = [Pair(r["id"], r["text"], r["pred_text"], r.get("speaker"), r.get("domain")) for r in rows]
    _report(pairs, normaliser, as_json)


def score(
    reference: Annotated[Path, typer.Argument(help="References; or, alone, JSONL holding text and pred_text.")],
    hypothesis: Annotated[Path | None, typer.Argument(help="Hypotheses with the same ids.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--against", help="Another system's hypotheses: a paired test is added.")
    ] = None,
    normaliser: NormaliserOption = "basic",
    as_json: Json = False,
) -> None:
    """Score hypotheses against references: WER with its bootstrap interval, counts, CER, by domain.

    Reads JSONL (NeMo), CSV/TSV with id and text, or text with one utterance a line.

    [bold]Examples[/bold]

      syn2real score test/manifest.jsonl hypotheses.jsonl --normaliser english
      syn2real score test/manifest.jsonl new.jsonl --against old.jsonl --json
    """
    from syn2real.speech.transcripts import read_pairs

    other = read_pairs(reference, baseline) if baseline else None
    _report(read_pairs(reference, hypothesis), normaliser, as_json, other)


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


def _hear(
    manifest: Path, model: str, language: str | None, window: str, batch_size: int, beams: int
) -> list[dict[str, Any]]:
    from syn2real.errors import UserError, did_you_mean
    from syn2real.speech.corpus import Corpus
    from syn2real.speech.pretrained import resolve_model

    if window not in ("auto", "short", "full"):
        raise UserError(f"--window {window}: unknown{did_you_mean(window, ('auto', 'short', 'full'))}")
    corpus = Corpus.load(manifest)
    corpus.require_sound()
    from syn2real.speech.transcription import TranscriptionSettings, transcribe

    settings = TranscriptionSettings(batch_size=batch_size, beams=beams, window=window)  # type: ignore[arg-type]
    texts = transcribe(resolve_model(model), corpus, settings, language=language)
    return [row | {"pred_text": texts[row["id"]]} for row in corpus.rows(manifest.parent)]


def _report(pairs: list[Any], normaliser: str, as_json: bool, baseline: list[Any] | None = None) -> None:
    from syn2real.reports.scores import print_scores, scores_record

    record = scores_record(pairs, normaliser, baseline)
    if as_json:
        print_json(record)
    else:
        print_scores(record, console())
