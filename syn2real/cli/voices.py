"""`voices`: who can speak, in which language, under which licence."""

from typing import Annotated

import typer

from syn2real.cli.output import Json, Language, console, print_json


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("voices")(voices)


def voices(
    language: Language = None,
    engine: Annotated[list[str] | None, typer.Option("--engine", "-e", help="Only this engine; repeatable.")] = None,
    commercial: Annotated[bool, typer.Option("--commercial", help="Only voices free for commercial use.")] = False,
    as_json: Json = False,
) -> None:
    """List the voices installed here, with language, licence and whether they may be used commercially.

    [bold]Examples[/bold]

      syn2real voices --language es
      syn2real voices --engine hibari --json
    """
    from dataclasses import asdict

    from syn2real.speech.engines import list_voices, missing_engines

    found = [v for v in list_voices(engine, language) if v.commercial_ok or not commercial]
    if as_json:
        print_json([asdict(voice) for voice in found])
        return
    from rich.table import Table

    table = Table("engine", "voice", "locale", "rate", "licence", "commercial")
    for voice in found:
        table.add_row(
            voice.engine,
            voice.name,
            voice.locale,
            f"{voice.sample_rate} Hz",
            voice.licence,
            "yes" if voice.commercial_ok else "no",
        )
    console().print(table)
    for name, reason in missing_engines(engine).items():
        typer.echo(f"{name}: {reason}", err=True)
