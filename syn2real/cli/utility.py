"""`utility`: what a chat model can do: its answers to a task's questions marked, and models compared."""

from pathlib import Path
from typing import Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, print_record
from syn2real.errors import UserError

app = typer.Typer(help="What a chat model can do: tasks with references or tests.", no_args_is_help=True)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A directory, smollm2-135m, a hub id, or server:NAME with --url.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    tasks: Annotated[
        list[Path] | None, typer.Argument(help="Questions as JSONL, or tasks as YAML; see docs/utility.md.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="exact, rouge, bertscore, pass_at_k, perplexity; by default by what is right.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of the metric, NAME=VALUE; repeatable.")] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    wording: Annotated[str | None, typer.Option(help="What is said to ask, with {prompt} in it.")] = None,
    examples: Annotated[Path | None, typer.Option(help="Questions shown solved before each one.")] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="So many of them; by default all.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Programs asked for, for pass@k.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0: the likeliest; by default 0.8 for samples.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer; by default 128 tokens, 512 of a program.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many questions of each, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which are drawn, and what at a temperature.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered at once.")] = 32,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the programs that the model writes, locked down.")
    ] = False,
    unconfined: Annotated[
        bool, typer.Option("--unconfined", help="Run them where the system cannot lock them down, too.")
    ] = False,
    harness: Annotated[
        list[str] | None, typer.Option(help="A task of lm-evaluation-harness, or a YAML of one; repeatable.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The model's OpenAI-compatible server, without /v1.")] = None,
    key: Annotated[str | None, typer.Option(help="Environment variable with the server's key.")] = None,
    per_minute: Annotated[float | None, typer.Option(min=0.1, help="Requests in a minute at most.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Ask a model the questions of tasks, and mark its answers.

    The same command goes on after an interruption. Programs that a model writes
    are run with --allow-code alone, without network and within limits.

    [bold]Examples[/bold]

      syn2real utility evaluate merged capitals.jsonl -o utility/merged
      syn2real utility evaluate merged summaries.jsonl --metric rouge --max-tokens 200 -o utility/merged
      syn2real utility evaluate merged HumanEval.jsonl --allow-code --samples 10 --option k=[1,10] -o utility/merged
      syn2real utility evaluate merged bbh.yaml capitals.jsonl --limit 100 -o utility/merged
      syn2real utility evaluate merged --harness bbh_cot_fewshot --limit 20 -o utility/merged
    """
    from syn2real.language.chat import chat_model
    from syn2real.language.chat.choice import is_server
    from syn2real.language.utility.folder import evaluate as run
    from syn2real.language.utility.task import load_task
    from syn2real.reports.utility import print_evaluation
    from syn2real.sealing import require_absent, sealed_directory

    require_absent(output, overwrite=overwrite)
    if not tasks and not harness:
        raise UserError("no tasks: give files of questions, or --harness NAME")
    options = dict(_option(item) for item in option or [])
    given = {
        "metric": metric,
        "options": options or None,
        "system": system,
        "wording": wording,
        "examples": examples,
        "shots": shots,
        "temperature": temperature,
        "max_tokens": max_tokens,
    }
    drawn: dict[str, Any] = {"limit": limit, "seed": seed}
    programs: dict[str, Any] = {"samples": samples, "allow_code": allow_code, "unconfined": unconfined}
    loaded = [load_task(path, given, **drawn, **programs) for path in tasks or []]
    names = [task.name for task in loaded]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two tasks are called {twice!r}; give their files other names")
    made = {"model": model, "limit": limit, "seed": seed}
    # A server's takes no batches: it answers several at once by itself.
    own = None if is_server(model) else batch_size
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        others: dict[str, Any] = {}
        if harness:
            from syn2real.language.utility.harness import run_harness

            others = run_harness(model, harness, partial, shots=shots, limit=limit, batch_size=batch_size, seed=seed)
        asking = chat_model(model, batch_size=own, url=url, key=key, per_minute=per_minute) if loaded else None
        record = run(asking, loaded, partial, made, others)
    print_record(record, print_evaluation, as_json=as_json)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders that `utility evaluate` wrote, two or more.")],
    as_json: Json = False,
) -> None:
    """Compare models on the tasks that all were asked: the differences with intervals, paired by question.

    [bold]Example[/bold]

      syn2real utility compare utility/tuned utility/merged
    """
    from syn2real.language.utility.evaluation import comparison
    from syn2real.language.utility.folder import record_in, scores_in
    from syn2real.reports.utility import print_comparison

    record = comparison({str(folder): (record_in(folder), scores_in(folder)) for folder in folders})
    print_record(record, print_comparison, as_json=as_json)


def _option(item: str) -> tuple[str, Any]:
    """``k=[1,10]`` as a name and what YAML makes of its value; of a pattern, and of what is no YAML, the text."""
    import yaml

    name, equals, text = item.partition("=")
    if not (name and equals):
        raise UserError(f"--option {item}: write NAME=VALUE, for instance k=[1,10]")
    try:
        return name, text if name == "pattern" else yaml.safe_load(text)
    except yaml.YAMLError:
        return name, text
