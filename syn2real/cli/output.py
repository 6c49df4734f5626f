"""What every command shares: options that recur, and printing for people or for machines."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from syn2real.errors import UserError

WIDE = 160  # characters
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that is already there.")]
Language = Annotated[str | None, typer.Option("--language", "-l", help="Language spoken, as ISO 639-1 (es, fr, …).")]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="A model directory, one of Whisper's names (whisper-base) or a hub id (org/name)."
    ),
]
Manifest = Annotated[Path, typer.Argument(help="A JSONL manifest with audio_filepath and text.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips heard at once.")]
EngineOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="An engine's option, as ENGINE.OPTION=VALUE (docs/voices.md); repeatable."),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", help="Another limit of the checks, as NAME=VALUE (docs/checking.md); repeatable."),
]
Show: TypeAlias = Callable[[dict[str, Any], Any], None]  # prints a record on a rich console
Workers = Annotated[int | None, typer.Option(help="Processes that speak at once; by default one per core.")]


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def console() -> Any:
    """A rich console on stdout; a pipe or a file, which has no width of its own, gets one that tables fit in."""
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=WIDE if wide else None, emoji=False)  # ":car:" may be what somebody said


def print_record(record: dict[str, Any], show: Show, *, as_json: bool) -> None:
    """A record for machines, or what ``show`` prints of it on a console."""
    if as_json:
        print_json(record)
    else:
        show(record, console())


def parse_weights(items: list[str]) -> dict[str, float]:
    """``["espeak=2", "pico"]`` → ``{"espeak": 2.0, "pico": 1.0}``. Raises `UserError` for a bad weight."""
    return _numbers(items, "1", "--engine {item}: the weight must be a number, for instance {name}=2")


def _numbers(items: list[str], absent: str, problem: str) -> dict[str, float]:
    """``NAME=NUMBER`` of each item, ``absent`` where none is given; ``problem`` says what is wrong with one."""
    numbers = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            numbers[name] = float(value or absent)
        except ValueError as error:
            raise UserError(problem.format(item=item, name=name)) from error
    return numbers


def parse_limits(items: list[str]) -> dict[str, float]:
    """``["pause=4"]`` → ``{"pause": 4.0}``. Raises `UserError` for what is no number."""
    return _numbers(items, "", "--limit {item}: write NAME=NUMBER, for instance pause=4")
