"""`transcribe`: what a recogniser hears."""

from pathlib import Path
from typing import Annotated, Any

import typer

from syn2real.cli.output import BatchSize, Language, Manifest, Model, Overwrite
from syn2real.cli.startup import load_recognisers

WindowOption = Annotated[
    str, typer.Option(help="full: pad to 30 s; short: cut to the longest clip; auto: short if trained so.")
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("transcribe")(transcribe)


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
    rows = heard(manifest, model, language, window, batch_size, beams)
    if output is None:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        from syn2real.lines import write_jsonl

        write_jsonl(output, rows)


def heard(
    manifest: Path, model: str, language: str | None, window: str, batch_size: int, beams: int
) -> list[dict[str, Any]]:
    """The rows of a manifest, each with what a model heard as ``pred_text``."""
    from syn2real.errors import UserError, did_you_mean
    from syn2real.speech.corpus import Corpus
    from syn2real.speech.pretrained import resolve_model

    if window not in ("auto", "short", "full"):
        raise UserError(f"--window {window}: unknown{did_you_mean(window, ('auto', 'short', 'full'))}")
    corpus = Corpus.load(manifest)
    corpus.require_sound()
    load_recognisers()
    from syn2real.speech.transcription import TranscriptionSettings, transcribe

    settings = TranscriptionSettings(batch_size=batch_size, beams=beams, window=window)  # type: ignore[arg-type]
    texts = transcribe(resolve_model(model), corpus, settings, language=language)
    return [row | {"pred_text": texts[row["id"]]} for row in corpus.rows(manifest.parent)]
