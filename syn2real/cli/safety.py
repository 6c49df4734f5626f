"""`safety`: what a chat model answers to harmful and to harmless requests, judged and compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json, print_record
from syn2real.errors import UserError

if TYPE_CHECKING:
    from syn2real.language.safety import Judge

app = typer.Typer(help="How safe a chat model is: attack success, refusals, over-refusals.", no_args_is_help=True)

JudgeNames = Annotated[
    list[str],
    typer.Option("--judge", "-j", help="refusal, chat, wildguard, llama-guard-3, md-judge, harmbench; repeatable."),
]
JudgeModel = Annotated[
    str | None, typer.Option(help="The judge's model: a directory, a hub id, or for chat server:NAME.")
]
JudgeTemplate = Annotated[
    Path | None, typer.Option(help="Text that the judge is asked with, with {prompt} and {response}.")
]
JudgeUrl = Annotated[str | None, typer.Option(help="The server of a chat judge, up to and without /v1.")]
JudgeKey = Annotated[str | None, typer.Option(help="Environment variable with that server's key.")]
Phrases = Annotated[Path | None, typer.Option(help="Your own phrases for the refusal judge, one a line.")]
Show = Annotated[int, typer.Option(min=0, help="Print so many answers judged harmful; none unless asked.")]


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A directory, smollm2-135m, a hub id, or server:NAME with --url.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    prompts: Annotated[
        list[Path] | None,
        typer.Option("--prompts", "-p", help="Harmful requests: AdvBench, HarmBench, XSTest, …; repeatable."),
    ] = None,
    harmless: Annotated[
        list[Path] | None, typer.Option(help="Requests that should not be refused; repeatable.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many of each file, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(help="Which are drawn.")] = 0,
    judge: JudgeNames = ["refusal"],  # noqa: B006 - as typer wants a list's default
    judge_model: JudgeModel = None,
    judge_template: JudgeTemplate = None,
    judge_url: JudgeUrl = None,
    judge_key: JudgeKey = None,
    phrases: Phrases = None,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    url: Annotated[str | None, typer.Option(help="The model's OpenAI-compatible server, without /v1.")] = None,
    key: Annotated[str | None, typer.Option(help="Environment variable with the server's key.")] = None,
    per_minute: Annotated[float | None, typer.Option(min=0.1, help="Requests in a minute at most.")] = None,
    show: Show = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Ask a model requests it should refuse, and ones it should not, and judge its answers.

    The answers stay in the output folder; what is printed does not repeat them.
    The same command goes on after an interruption.

    [bold]Examples[/bold]

      syn2real safety evaluate merged -p advbench.csv -p xstest.csv -o safety/merged
      syn2real safety evaluate merged -p harmbench.csv --limit 100 -j refusal -j llama-guard-3 -o safety/merged
      syn2real safety evaluate server:NAME --url http://localhost:8000 -p prompts.txt -o safety/server
      syn2real safety evaluate merged -p advbench.csv -j chat --judge-model server:NAME --judge-url URL -o safety/m
    """
    from syn2real.language.chat import chat_model
    from syn2real.language.safety import AnswerSettings
    from syn2real.language.safety.folder import evaluated
    from syn2real.language.safety.prompts import drawn, read_sets
    from syn2real.sealing import require_absent, sealed_directory

    require_absent(output, overwrite=overwrite)
    asked = read_sets(prompts or [], harmless or [])
    if not asked:
        raise UserError("no requests: give files with --prompts, --harmless or both")
    chosen = [one for of in asked for one in drawn(of, limit, seed)]
    judges = _judges(judge, judge_model, judge_template, judge_url, judge_key, phrases)
    asking = chat_model(model, url=url, key=key, per_minute=per_minute)
    made = {"model": asking.name, "system": system, "max_tokens": max_tokens, "limit": limit, "seed": seed}
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        record = evaluated(partial, asking, chosen, AnswerSettings(system, max_tokens), judges, made)
    _print(output, record, show, as_json)


@app.command("judge")
def judge_again(
    folder: Annotated[Path, typer.Argument(help="A folder that `safety evaluate` wrote.")],
    judge: JudgeNames,
    judge_model: JudgeModel = None,
    judge_template: JudgeTemplate = None,
    judge_url: JudgeUrl = None,
    judge_key: JudgeKey = None,
    phrases: Phrases = None,
    show: Show = 0,
    as_json: Json = False,
) -> None:
    """Judge answers that are there by another judge; with several, how far they agree.

    Answers of another tool are judged too: put them in a folder as answers.jsonl,
    each line with prompt and response, and harmful: false where the request is.

    [bold]Examples[/bold]

      syn2real safety judge safety/merged -j llama-guard-3
      syn2real safety judge safety/merged -j wildguard --judge-template wildguard.txt
    """
    from syn2real.language.safety.folder import RECORD, judged, record_in

    before = record_in(folder) if (folder / RECORD).is_file() else {"model": folder.name}
    judges = _judges(judge, judge_model, judge_template, judge_url, judge_key, phrases)
    _print(folder, judged(folder, judges, before), show, as_json)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders that `safety evaluate` wrote, two or more.")],
    judge: Annotated[str, typer.Option("--judge", "-j", help="By whose verdicts.")] = "refusal",
    as_json: Json = False,
) -> None:
    """Compare models on the same requests: attack success, over-refusal, and exact paired tests.

    [bold]Example[/bold]

      syn2real safety compare safety/aligned safety/tuned safety/merged
    """
    from syn2real.language.safety.evaluation import comparison
    from syn2real.language.safety.folder import judged_by, ways_asked
    from syn2real.reports.safety import print_comparison

    named = {str(folder): folder for folder in folders}
    record = {"judge": judge, "asked": ways_asked(named), **comparison(judged_by(judge, named))}
    print_record(record, print_comparison, as_json=as_json)


def _judges(
    names: list[str],
    model: str | None,
    template: Path | None,
    url: str | None,
    key: str | None,
    phrases: Path | None,
) -> list["Judge"]:
    from syn2real.language.safety import judge_named

    given: dict[str, Any] = {"model": model, "template": template, "url": url, "key": key}
    # An option that only another of several judges takes is no mistake.
    return [
        judge_named(name, phrases=phrases) if name == "refusal" else judge_named(name, **_taken(name, given))
        for name in dict.fromkeys(names)
    ]


def _taken(name: str, given: dict[str, Any]) -> dict[str, Any]:
    own = {"chat": ("model", "url", "key")}.get(name, ("model", "template"))
    return {option: value for option, value in given.items() if option in own}


def _print(folder: Path, record: dict[str, Any], show: int, as_json: bool) -> None:
    from syn2real.language.safety.folder import answers_in, verdicts_in
    from syn2real.reports.safety import print_evaluation, print_harmful

    if as_json:
        print_json(record)
        return
    print_evaluation(record, console())
    if show:
        print_harmful(answers_in(folder), verdicts_in(folder), show, console())
