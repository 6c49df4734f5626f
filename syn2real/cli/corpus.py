"""`corpus import`, `corpus info` and `corpus validate`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json
from syn2real.errors import UserError

if TYPE_CHECKING:
    from syn2real.speech.corpus import Corpus

app = typer.Typer(help="Corpora: recordings and their transcripts, as JSONL manifests.", no_args_is_help=True)
AudioRoot = Annotated[Path | None, typer.Option(help="Folder the manifest's audio paths are relative to.")]


@app.command("import")
def import_corpus(
    kind: Annotated[str, typer.Argument(help="tuxpaint, folder or manifest.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the corpus goes.")],
    source: Annotated[Path | None, typer.Option("--from", help="What to import; tuxpaint fetches its own.")] = None,
    language: Annotated[str | None, typer.Option("--language", "-l", help="Language to take, or to note.")] = None,
    audio_root: AudioRoot = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Bring recordings into a self-contained corpus: 16 kHz mono FLAC and a manifest.

    [bold]Examples[/bold]

      syn2real corpus import tuxpaint --language es --output stamps-es
      syn2real corpus import folder --from recordings/list.csv --output mine
    """
    from inspect import signature

    from syn2real.sealing import require_absent
    from syn2real.speech.corpora import IMPORTERS

    importer = IMPORTERS.get(kind)
    require_absent(output, overwrite=overwrite)
    options = {
        "source": ("--from", source),
        "language": ("--language", language),
        "audio_root": ("--audio-root", audio_root),
    }
    given = {name: value for name, (_, value) in options.items() if value is not None}
    for name, parameter in signature(importer).parameters.items():
        if name in options and name not in given and parameter.default is parameter.empty:
            raise UserError(f"importing {kind} needs {options[name][0]}")
    for name in given:
        if name not in signature(importer).parameters:
            raise UserError(f"importing {kind} takes no {options[name][0]}")
    report = importer(output, overwrite=overwrite, **given)
    if as_json:
        skipped = [{"item": item, "reason": reason} for item, reason in report.skipped]
        print_json({"manifest": str(output / "manifest.jsonl"), **summary(report.corpus), "skipped": skipped})
        return
    for item, reason in report.skipped:
        typer.echo(f"skipped {item}: {reason}", err=True)
    _print(summary(report.corpus), str(output))


@app.command()
def info(
    manifest: Annotated[Path, typer.Argument(help="A JSONL manifest.")],
    audio_root: AudioRoot = None,
    as_json: Json = False,
) -> None:
    """How much of what a corpus holds.

    [bold]Example[/bold]

      syn2real corpus info stamps-es/manifest.jsonl
    """
    from syn2real.speech.corpus import Corpus

    record = summary(Corpus.load(manifest, audio_root))
    if as_json:
        print_json(record)
    else:
        _print(record, str(manifest))


@app.command()
def validate(
    manifest: Annotated[Path, typer.Argument(help="A JSONL manifest.")],
    audio_root: AudioRoot = None,
    as_json: Json = False,
) -> None:
    """Decode every recording and list what is silent, damaged, not a number or too long. Status 1 if anything is.

    [bold]Example[/bold]

      syn2real corpus validate stamps-es/manifest.jsonl
    """
    from syn2real.speech.corpus import Corpus

    corpus = Corpus.load(manifest, audio_root)
    problems = corpus.problems()
    if as_json:
        print_json({"utterances": len(corpus), "problems": problems})
    else:
        for problem in problems:
            typer.echo(problem)
        typer.echo(f"{manifest}: {len(corpus)} utterances, {len(problems)} problems", err=True)
    if problems:
        raise typer.Exit(1)


def summary(corpus: "Corpus") -> dict[str, Any]:
    """Counts and minutes, whole and by domain."""
    domains = Counter(utterance.domain for utterance in corpus)
    return {
        "utterances": len(corpus),
        "minutes": round(corpus.duration / 60, 1),
        "longest": max(utterance.duration for utterance in corpus),
        "speakers": len({u.speaker for u in corpus if u.speaker}),
        "voices": len({(u.engine, u.voice) for u in corpus if u.voice}),
        "sentences": len({u.text for u in corpus}),
        "domains": {name or "–": count for name, count in domains.most_common()},
        "licences": sorted({u.licence for u in corpus if u.licence}),
    }


def _print(record: dict[str, Any], title: str) -> None:
    screen = console()
    screen.print(title, style="bold", markup=False, highlight=False)
    for name, value in record.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items())
        elif isinstance(value, list):
            value = ", ".join(value) or "–"
        screen.print(f"  {name}: {value}", markup=False, highlight=False)
