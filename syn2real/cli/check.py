"""`check`: what is wrong with a corpus's clips, by their samples and by what a recogniser hears in them."""

from pathlib import Path
from typing import Annotated

import typer

from syn2real.cli.corpus import AudioRoot
from syn2real.cli.output import Json, Language, LimitOption, Overwrite, console, parse_limits, print_json
from syn2real.errors import UserError, did_you_mean


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    corpus: Annotated[Path, typer.Argument(help="A JSONL manifest, or a directory that holds manifest.jsonl.")],
    recogniser: Annotated[
        str | None,
        typer.Option("--recogniser", "-r", help="Also hear every clip: a model as --model of other commands takes it."),
    ] = None,
    language: Language = None,
    normaliser: Annotated[
        str | None,
        typer.Option(
            "--normaliser", "-n", help="none, basic, unicode, english or spoken-LANGUAGE; by default by the language."
        ),
    ] = None,
    by: Annotated[str, typer.Option(help="Rows of the table: voice or engine.")] = "voice",
    limit: LimitOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write check.json, rejected.jsonl and check.png here.")
    ] = None,
    drop: Annotated[
        Path | None, typer.Option("--drop", help="Write the manifest without the rejected, in the audio's folder.")
    ] = None,
    audio_root: AudioRoot = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find clips that are damaged, cut off or not what their text says. Status 1 if any is rejected and not dropped.

    Without --recogniser only samples and text are looked at: clipping, silence,
    pauses, cut-offs, and a pace no voice has. With it every clip is transcribed
    once, and one heard much worse than the same sentence in other voices is
    rejected. What was heard is kept in the cache: a second check hears only what
    is new. Nothing else is written unless asked for.

    [bold]Examples[/bold]

      syn2real check menu-spoken
      syn2real check menu-spoken --recogniser whisper-base --by engine --output menu-checked
      syn2real check calls/manifest.jsonl -r whisper-base -l es --limit pause=4 --drop calls/sound.jsonl
    """
    from syn2real.sealing import require_absent, require_absent_file, sealed_directory
    from syn2real.speech.checking import Limits, inspect, summarise
    from syn2real.speech.corpus import MANIFEST, Corpus
    from syn2real.speech.normalisation import normaliser as known_normaliser

    if by not in ("voice", "engine"):
        raise UserError(f"--by {by}: unknown{did_you_mean(by, ('voice', 'engine'))}")
    limits = Limits.of(parse_limits(limit or []))
    if normaliser is not None:
        known_normaliser(normaliser)
    if output is not None:
        require_absent(output, overwrite=overwrite)
    if drop is not None:
        require_absent_file(drop, overwrite=overwrite)
    loaded = Corpus.load(corpus / MANIFEST if corpus.is_dir() else corpus, audio_root)
    if drop is not None:
        loaded.require_beneath(drop)  # before everything is heard
    model = None
    if recogniser is not None:
        from syn2real.speech.pretrained import resolve_model

        model = resolve_model(recogniser)
    found = inspect(loaded, limits, model, language, normaliser)
    record = summarise(found, limits, by, recogniser)  # type: ignore[arg-type]
    if output is not None:
        from syn2real.reports.checks import write_check

        with sealed_directory(output, overwrite=overwrite) as partial:
            write_check(record, partial)
    if drop is not None:
        found.kept().save(drop)
    if as_json:
        print_json(record)
    else:
        from syn2real.reports.checks import print_check

        print_check(record, str(corpus), console())
    if found.rejected and drop is None:
        raise typer.Exit(1)
