"""`voices`: who can speak, in which language, under which licence."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import EngineOption, Json, Language, console, print_json

if TYPE_CHECKING:
    from syn2real.speech.engines import Voice


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("voices")(voices)


def voices(
    language: Language = None,
    engine: Annotated[list[str] | None, typer.Option("--engine", "-e", help="Only this engine; repeatable.")] = None,
    option: EngineOption = None,
    commercial: Annotated[bool, typer.Option("--commercial", help="Only voices free for commercial use.")] = False,
    as_json: Json = False,
) -> None:
    """List the engines with their licences and whether they can speak here; of one language or engine, its voices.

    [bold]Examples[/bold]

      syn2real voices
      syn2real voices --language es
      syn2real voices --engine hibari --json
    """
    from syn2real.speech.engines import ENGINES, list_voices, missing_engines, read_options

    options = read_options(option or [])
    names = engine or ENGINES.names()
    missing = missing_engines(names, options)
    found = [v for v in list_voices(names, language, options) if v.commercial_ok or not commercial]
    if language is None and engine is None:
        _show_engines(found, missing, as_json)
    else:
        _show_voices(found, missing, as_json)


def _show_engines(found: "list[Voice]", missing: dict[str, str], as_json: bool) -> None:
    from syn2real.speech.engines import configured, engine_of

    rows = []
    for name in sorted({voice.engine for voice in found} | set(missing)):
        own = [voice for voice in found if voice.engine == name]
        row: dict[str, Any] = {
            "engine": name,
            "licence": configured(name).licence,
            "voices": len(own),
            "languages": sorted({voice.language for voice in own}),
            "voice_licences": sorted({voice.licence for voice in own}),
            "commercial_ok": sum(voice.commercial_ok for voice in own),
            "missing": missing.get(name),
            "to_fetch": engine_of(own[0]).to_fetch(own) if own else [],
        }
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table("engine", "voices", "languages", "licences", "commercial", "here")
    for row in rows:
        free = {0: "no", row["voices"]: "yes"}.get(row["commercial_ok"], f"{row['commercial_ok']} of them")
        languages = row["languages"]
        table.add_row(
            row["engine"],
            str(row["voices"] or ""),
            ", ".join(languages) if len(languages) < 6 else str(len(languages)),
            "; ".join(dict.fromkeys([row["licence"], *row["voice_licences"]])),
            free if row["voices"] else "",
            "no" if row["missing"] else "to fetch" if row["to_fetch"] else "yes",
        )
    console().print(table)
    for row in rows:
        _explain(row["engine"], row["missing"], row["to_fetch"])


def _show_voices(found: "list[Voice]", missing: dict[str, str], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json([asdict(voice) | {"options": dict(voice.options)} for voice in found])
        return
    from rich.table import Table

    from syn2real.speech.engines import engine_of

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
    for name in sorted({voice.engine for voice in found} | set(missing)):
        own = [voice for voice in found if voice.engine == name]
        _explain(name, missing.get(name), engine_of(own[0]).to_fetch(own) if own else [])


def _explain(name: str, missing: str | None, to_fetch: list[str]) -> None:
    """Say on stderr why an engine cannot speak here, or not at once."""
    if missing is not None:
        typer.echo(f"{name}: {missing}", err=True)
    elif to_fetch:
        more = f" and {len(to_fetch) - 1} more" if len(to_fetch) > 1 else ""
        typer.echo(f"{name}: fetched from the hub when it first speaks: {to_fetch[0]}{more}", err=True)
