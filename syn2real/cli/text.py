"""`text check`, `text verbalise` and `text expand`: text before it is spoken."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json
from syn2real.errors import UserError

app = typer.Typer(
    help="Domain text: checked, written as it is spoken, made more by a chat model.", no_args_is_help=True
)
TOKENS = 30  # of an answer for each sentence asked for
_SHOWN = 20  # rows of a table; --json and the output have all
Text = Annotated[Path, typer.Argument(help="One sentence a line, or JSONL with a text in each line.")]


def _language(code: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}([-_]\w+)*", code):
        raise UserError(f"--language {code}: is no code of a language; write it as en, es or en-GB")
    return code


Spoken = Annotated[
    str,
    typer.Option("--language", "-l", help="Language, as ISO 639-1 or a locale (en-GB: day first).", callback=_language),
]


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


@app.command()
def expand(
    text: Annotated[Path, typer.Argument(help="Seed sentences: one a line, or JSONL with text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSONL to write.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many new sentences.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A directory, smollm2-135m, a hub id, or server:NAME with --url.")
    ] = "smollm2-135m",
    url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server, up to and without /v1.")] = None,
    key: Annotated[str | None, typer.Option(help="Name of the environment variable with the server's key.")] = None,
    per_minute: Annotated[
        float | None, typer.Option(min=0.1, help="Requests that a server gets in a minute at most.")
    ] = None,
    about: Annotated[str | None, typer.Option(help="What the sentences are, as 'requests to a robot'.")] = None,
    language: Spoken = "en",
    domain: Annotated[str | None, typer.Option(help="Domain written to each line.")] = None,
    shown: Annotated[int, typer.Option(min=1, help="Seed sentences in each prompt.")] = 6,
    lines: Annotated[int, typer.Option(min=1, help="Sentences asked for in each prompt.")] = 10,
    temperature: Annotated[float, typer.Option(min=0, max=5, help="0 takes the likeliest words.")] = 0.8,
    most_words: Annotated[int, typer.Option(min=2, help="Longest sentence kept, in words.")] = 40,
    seed: Annotated[int, typer.Option(help="What is drawn depends on it.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write more sentences like a few, by a chat model: no copies, none that a voice cannot speak.

    Answers are kept beside the output as they come (….replies.jsonl), so the same
    command goes on after an interruption, and a larger --count asks for the rest.

    [bold]Examples[/bold]

      syn2real text expand menu.txt --count 500 --about "orders in a restaurant" -o more.jsonl
      syn2real text expand menu.txt -n 5000 -m server:gpt-oss-20b --url http://localhost:8000 -o more.jsonl
      syn2real text expand menu.txt -n 5000 -m server:NAME --url https://host --key API_KEY -o more.jsonl
    """
    from syn2real.language.chat import Sampling, chat_model
    from syn2real.language.expansion import ExpansionSettings, Seed
    from syn2real.language.expansion import expand as expand_text
    from syn2real.language.sifting import Limits
    from syn2real.lines import write_jsonl
    from syn2real.sealing import require_absent_file
    from syn2real.speech.corpus import read_sentences, sentence_key
    from syn2real.speech.verbalisation import bad_characters

    require_absent_file(output, overwrite=overwrite)
    sentences = read_sentences(text)

    def unspeakable(line: str) -> str | None:
        return next((bad.reason for bad in bad_characters(line, language)), None)

    settings = ExpansionSettings(
        count,
        about,
        shown,
        lines,
        Sampling(temperature, 0.95, TOKENS * lines),
        Limits(most_words=most_words),
        seed,
    )
    made = expand_text(
        chat_model(model, url=url, key=key, per_minute=per_minute),
        [Seed(sentence.id, " ".join(sentence.text.split())) for sentence in sentences],
        settings,
        output.with_suffix(".replies.jsonl"),
        key=sentence_key,
        unspeakable=unspeakable,
        domain=domain,
    )
    if not made.rows:
        raise UserError(f"{model} wrote nothing that could be kept in {made.asked} answers: {_counts(made.refused)}")
    write_jsonl(output, made.rows)
    if as_json:
        print_json(
            {
                "output": str(output),
                "sentences": len(made.rows),
                "wanted": count,
                "answers": made.asked,
                "lines": made.lines,
                "refused": made.refused,
            }
        )
        return
    typer.echo(f"{output}: {len(made.rows)} of {made.lines} lines kept; refused: {_counts(made.refused)}")
    if len(made.rows) < count:
        typer.echo(f"warning: {count} were wanted; the model repeats itself: give more seeds or another", err=True)


def _counts(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


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
