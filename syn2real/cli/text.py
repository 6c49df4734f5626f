"""`text check` and `text verbalise`: what a voice will say of a text, before it speaks."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json
from syn2real.errors import UserError

app = typer.Typer(help="Domain text: checked and written as it is spoken.", no_args_is_help=True)
_SHOWN = 20  # rows of a table; --json and the output have all
Text = Annotated[Path, typer.Argument(help="One sentence a line, or JSONL with a text in each line.")]
Spoken = Annotated[str, typer.Option("--language", "-l", help="Language, as ISO 639-1 or a locale (en-GB: day first).")]


@app.command()
def check(
    text: Text,
    language: Spoken = "en",
    as_json: Json = False,
) -> None:
    """What a voice of the language cannot speak: emoji, other scripts, control characters, symbols without words.

    Synthesis takes these out; a line that is nothing else is rejected, which is
    status 1 here. In a language without a table only numbers are put in words.

    [bold]Examples[/bold]

      syn2real text check menu.txt --language es
      syn2real text check orders.jsonl --language ro --json
    """
    from dataclasses import asdict

    from syn2real.speech.verbalisation import TextRule, coverage, describe, tally

    lines = _lines(text)
    rule = TextRule(language)
    counts = tally(lines, language)
    empty = [(number, line) for number, line in lines if not rule(line).spoken]
    known = coverage(language)
    if as_json:
        print_json(
            {
                "lines": len(lines),
                "language": language,
                "verbalised": known,
                "characters": [asdict(count) | {"name": describe(count.character)} for count in counts],
                "rejected": [{"line": number, "text": line} for number, line in empty],
            }
        )
    else:
        if counts:
            _table(
                ("character", "reason", "count", "first line"),
                [(describe(c.character), c.reason, str(c.count), str(c.first_line)) for c in counts],
            )
        for number, line in empty[:_SHOWN]:
            typer.echo(f"{text}:{number}: nothing in {line[:40]!r} can be spoken; rewrite or drop the line")
        typer.echo(
            f"{len(lines)} lines, {sum(c.count for c in counts)} characters that cannot be spoken, {len(empty)} lines "
            f"with nothing else; put in words: {known}"
        )
    if empty:
        raise typer.Exit(1)


@app.command()
def verbalise(
    text: Text,
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSONL to write: id, text (the label), spoken.")],
    language: Spoken = "en",
    label: Annotated[str, typer.Option(help="What the transcript follows: spoken or written.")] = "spoken",
    style: Annotated[str, typer.Option(help="plain, or slurp: small letters without punctuation.")] = "plain",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a text as it is spoken, and list what changed: numbers, dates, amounts, signs, abbreviations.

    [bold]Examples[/bold]

      syn2real text verbalise menu.txt --language es --output menu.jsonl
      syn2real text verbalise requests.txt --style slurp --output requests.jsonl --json
    """
    from syn2real.lines import write_jsonl
    from syn2real.sealing import require_absent_file
    from syn2real.speech.corpus import read_sentences
    from syn2real.speech.verbalisation import TextRule
    from syn2real.speech.verbalisation.label import LABELS, STYLES

    require_absent_file(output, overwrite=overwrite)
    rule = TextRule(language, label=_one_of(label, LABELS, "--label"), style=_one_of(style, STYLES, "--style"))
    rows, kinds, seen = [], Counter[str](), Counter[tuple[str, str, str]]()
    rejected = []
    for sentence in read_sentences(text):
        made = rule(sentence.text)
        kinds.update(change.kind for change in made.changes)
        seen.update((change.kind, change.written, change.said) for change in made.changes)
        if not made.spoken:
            rejected.append({"id": sentence.id, "text": made.written})
            continue
        row: dict[str, Any] = {"id": sentence.id, "text": made.label}
        row |= {"domain": sentence.domain} if sentence.domain else {}
        row |= {"spoken": made.spoken} if made.spoken != made.label else {}
        row |= {"written": made.written} if made.written != made.label else {}
        rows.append(row)
    if not rows:
        raise UserError(f"{text}: no line of it can be spoken in {language!r}; see `syn2real text check`")
    write_jsonl(output, rows)
    if as_json:
        changes = [{"kind": k, "written": w, "said": s, "count": n} for (k, w, s), n in seen.most_common()]
        print_json(
            {
                "output": str(output),
                "sentences": len(rows),
                "changed": sum("written" in row for row in rows),
                "kinds": dict(kinds.most_common()),
                "changes": changes,
                "rejected": rejected,
            }
        )
        return
    if seen:
        shown = [(kind, written, said, str(n)) for (kind, written, said), n in seen.most_common(_SHOWN)]
        _table(("kind", "written", "said", "count"), shown)
        if len(seen) > _SHOWN:
            typer.echo(f"… and {len(seen) - _SHOWN} more; --json lists all")
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()) or "nothing to change"
    typer.echo(f"{output}: {len(rows)} sentences; {counts}; {len(rejected)} rejected")


def _one_of(value: str, choices: tuple[Any, ...], option: str) -> Any:
    from syn2real.errors import did_you_mean

    if value not in choices:
        raise UserError(f"{option} {value}: there is no such choice{did_you_mean(value, choices)}")
    return value


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines of text, or the texts of numbered lines of JSONL."""
    from syn2real.errors import at
    from syn2real.lines import read_jsonl, read_lines

    if path.suffix != ".jsonl":
        found = list(read_lines(path))
    else:
        found = []
        for number, row in read_jsonl(path):
            if not isinstance(row.get("text"), str):
                raise UserError(at(path, number, "empty text; give every line a 'text'"))
            found.append((number, row["text"]))
    if not found:
        raise UserError(f"{path}: holds no text")
    return found


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text as Cell

    table = Table(*columns)
    for row in rows[:_SHOWN]:
        table.add_row(*(Cell(cell) for cell in row))  # as it is, brackets too
    console().print(table)
