"""`bias`: sentences that provoke gender bias, how wide the gaps are, and what makes answers fairer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json, print_record
from syn2real.errors import UserError

if TYPE_CHECKING:
    from syn2real.language.bias.answering import AnswerSettings
    from syn2real.language.bias.pairs import Pairs
    from syn2real.language.chat import ChatModel

app = typer.Typer(
    help="Gender bias of chat models: provoked by sentences, measured, and mended by demonstrations.",
    no_args_is_help=True,
)
RECORD, MENDED = "bias.json", "mitigation.json"
WAYS = ("top", "sample", "instruction")

Target = Annotated[str, typer.Argument(help="A directory, smollm2-135m, a hub id, or server:NAME with --url.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")]
PairsFile = Annotated[
    Path | None, typer.Option("--pairs", help="Your own words of two genders: male, tab, female, one pair a line.")
]
Names = Annotated[bool, typer.Option("--names", help="Swap given names as well.")]
Scorer = Annotated[str, typer.Option(help="vader, embedding, or classifier and toxicity with --scorer-model.")]
ScorerModel = Annotated[str | None, typer.Option(help="The scorer's model: a directory or a hub id.")]
System = Annotated[str | None, typer.Option(help="A system prompt; '' for an empty one.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Url = Annotated[str | None, typer.Option(help="The model's OpenAI-compatible server, without /v1.")]
Key = Annotated[str | None, typer.Option(help="Environment variable with the server's key.")]
PerMinute = Annotated[float | None, typer.Option(min=0.1, help="Requests in a minute at most.")]
Budget = Annotated[int | None, typer.Option(min=1, help="Requests to the server at most.")]
Width = Annotated[str | None, typer.Option("--dtype", help="float32, bfloat16 or float16; by default the device's.")]


@app.command()
def provoke(
    target: Target,
    output: Output,
    seeds: Annotated[
        list[Path], typer.Option("--seeds", "-s", help="Sentences to learn from: text, a CSV's `sentence`; repeatable.")
    ],
    generator: Annotated[str, typer.Option(help="Who learns to write: a directory, smollm2-135m or a hub id.")] = (
        "smollm2-135m"
    ),
    method: Annotated[str, typer.Option(help="grpo, rloo or ppo.")] = "grpo",
    steps: Annotated[int, typer.Option(min=1, help="Times that sentences are written and paid.")] = 60,
    batch_size: Annotated[int, typer.Option(min=2, help="Sentences of a step.")] = 32,
    test: Annotated[int, typer.Option(min=1, help="Cases to test with.")] = 200,
    pool: Annotated[int, typer.Option(min=1, help="Cases to draw demonstrations from.")] = 200,
    pairs: PairsFile = None,
    names: Names = False,
    scorer: Scorer = "vader",
    scorer_model: ScorerModel = None,
    system: System = None,
    max_tokens: MaxTokens = 32,
    url: Url = None,
    key: Key = None,
    per_minute: PerMinute = None,
    budget: Budget = None,
    dtype: Width = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 42,
    as_json: Json = False,
) -> None:
    """Teach a generator to write sentences to which a model answers otherwise when only the gender changes.

    It learns the seed sentences, then is rewarded by the gap. The cases are in OUTPUT/cases,
    the generator in OUTPUT/generator. The same command goes on after an interruption.

    [bold]Examples[/bold]

      syn2real bias provoke smollm2-135m --seeds data/bias/seeds.txt -o provoked
      syn2real bias provoke server:NAME --url http://localhost:8000 --budget 5000 -s seeds.txt -o provoked
    """
    from syn2real.cli.bias_study import provoked
    from syn2real.documents import parse_values
    from syn2real.experiments.bias.recipe import BiasRecipe
    from syn2real.reports.bias import print_provoked

    options = {"model": scorer_model} if scorer_model else {}
    recipe = parse_values(
        BiasRecipe,
        {
            "study": "bias",
            "pairs": pairs,
            "names": names,
            "seed": seed,
            "targets": [
                {
                    "name": target, "model": target, "url": url, "key": key, "per_minute": per_minute,
                    "budget": budget, "dtype": dtype,
                }
            ],
            "answers": {"system": system, "max_tokens": max_tokens, "scorer": scorer, "scorer_options": options},
            "generator": {"model": generator, "seeds": seeds},
            "reinforcement": {"method": method, "steps": steps, "batch_size": batch_size},
            "cases": {"test": test, "pool": pool},
            "mitigation": None,
        },
    )  # fmt: skip
    record = provoked(recipe, output)
    print_record(record, print_provoked, as_json=as_json)


@app.command()
def measure(
    target: Target,
    cases: Annotated[Path, typer.Argument(help="Test cases: a folder of `provoke`, JSONL, a CSV or text.")],
    output: Output,
    pairs: PairsFile = None,
    names: Names = False,
    scorer: Scorer = "vader",
    scorer_model: ScorerModel = None,
    threshold: Annotated[float, typer.Option(min=0.0, help="From which a gap counts as wide.")] = 0.5,
    system: System = None,
    max_tokens: MaxTokens = 32,
    url: Url = None,
    key: Key = None,
    per_minute: PerMinute = None,
    budget: Budget = None,
    dtype: Width = None,
    show: Annotated[int, typer.Option(min=0, help="Print so many of the widest gaps; none unless asked.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Ask a model sentences and their gender-swapped twins, and measure how far its answers are apart.

    The answers stay in the output folder; what is printed does not repeat them.
    The same command goes on after an interruption, and asks a server nothing twice.

    [bold]Examples[/bold]

      syn2real bias measure smollm2-135m provoked/cases -o bias/smollm2
      syn2real bias measure server:NAME sentences.txt --url http://localhost:8000 --budget 2000 -o bias/server
    """
    from syn2real.language.bias.answering import REPLIES, answer_into
    from syn2real.language.bias.figures import figures
    from syn2real.language.bias.scorers import scorer_named
    from syn2real.sealing import require_absent, sealed_directory, write_json

    require_absent(output, overwrite=overwrite)
    if cases.is_dir() and (pairs is not None or names):
        raise UserError(f"{cases}: its cases have their twins; --pairs and --names are for sentences that have none")
    found = _cases(cases, _pairs(pairs, names))
    judge = scorer_named(scorer, model=scorer_model)
    model = _model(target, url, key, per_minute, budget, dtype)
    settings = _settings(system, max_tokens)
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        rows = answer_into(partial, model, found, settings, judge)
        record = {"model": model.name, "scorer": judge.name, "system": system, "max_tokens": max_tokens}
        record |= figures(rows, threshold)
        write_json(partial / RECORD, record)
        (partial / REPLIES).unlink(missing_ok=True)
    if as_json:
        print_json(record)
        return
    from syn2real.reports.bias import print_measurement, print_widest

    print_measurement(record, console())
    if show:
        print_widest(rows, show, console())


@app.command()
def mitigate(
    target: Target,
    cases: Annotated[Path, typer.Argument(help="A folder of `provoke`: its test is asked, its pool demonstrates.")],
    output: Output,
    way: Annotated[
        list[str] | None, typer.Option("--way", "-w", help="top, sample or instruction; repeatable. All, if none.")
    ] = None,
    demonstrations: Annotated[int, typer.Option("-k", min=1, help="Demonstrations before a sentence.")] = 5,
    pairs: PairsFile = None,
    names: Names = False,
    scorer: Scorer = "vader",
    scorer_model: ScorerModel = None,
    likeness: Annotated[
        str | None, typer.Option(help="An encoder of sentences, or 'packaged': how like the answers before they are.")
    ] = None,
    system: System = None,
    max_tokens: MaxTokens = 32,
    url: Url = None,
    key: Key = None,
    per_minute: PerMinute = None,
    budget: Budget = None,
    dtype: Width = None,
    seed: Annotated[int, typer.Option(help="Of the demonstrations that are drawn.")] = 42,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Ask for fairness by demonstrations in the model's context or by an instruction; gaps before and after.

    Beside the gap stands what the answers are still good for.

    [bold]Examples[/bold]

      syn2real bias mitigate smollm2-135m provoked/cases -o mended
      syn2real bias mitigate smollm2-135m provoked/cases -w top -k 3 --likeness packaged -o mended
    """
    from syn2real.language.bias.figures import THRESHOLD
    from syn2real.language.bias.mending import Mending, mend
    from syn2real.language.bias.scorers import packaged_minilm, scorer_named
    from syn2real.language.bias.sets import read_set
    from syn2real.reports.bias import print_mitigation
    from syn2real.sealing import require_absent, sealed_directory, write_json

    require_absent(output, overwrite=overwrite)
    found = read_set(cases)
    judge = scorer_named(scorer, model=scorer_model)
    encoder = None
    if likeness is not None:
        encoder = scorer_named("embedding", model=packaged_minilm() if likeness == "packaged" else likeness)
    model = _model(target, url, key, per_minute, budget, dtype)
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        mending = Mending(demonstrations, seed, pairs=_pairs(pairs, names), likeness=encoder)
        ways, settings = list(dict.fromkeys(way or WAYS)), _settings(system, max_tokens)
        rows = mend(model, found, ways, settings, judge, mending, partial, THRESHOLD)
        record: dict[str, Any] = {"model": model.name, "scorer": judge.name, "mitigated": rows}
        write_json(partial / MENDED, record)
    print_record(record, print_mitigation, as_json=as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The output of `syn2real run` with a recipe of gender bias.")],
    show: Annotated[bool, typer.Option("--show", help="With the widest gaps, sentences and answers.")] = False,
    as_json: Json = False,
) -> None:
    """Write a study's report again; --show puts into it what was provoked, which it leaves out otherwise.

    [bold]Example[/bold]

      syn2real bias report runs/bias_smollm2 --show
    """
    from syn2real.cli.bias_study import report_again
    from syn2real.reports.bias import print_study

    record = report_again(folder, show=show)
    print_record(record, print_study, as_json=as_json)


def _pairs(path: Path | None, names: bool) -> "Pairs":
    from syn2real.language.bias import own_pairs, read_pairs

    if path is not None and names:
        raise UserError("--names belong to our own pairs; put yours into the file of --pairs")
    return read_pairs(path) if path else own_pairs(names=names)


def _cases(path: Path, pairs: "Pairs") -> list[Any]:
    from syn2real.language.bias.cases import read_cases
    from syn2real.language.bias.sets import read_set

    return list(read_set(path).test) if path.is_dir() else read_cases(path, pairs)


def _model(
    name: str, url: str | None, key: str | None, per_minute: float | None, budget: int | None, dtype: str | None
) -> "ChatModel":
    from syn2real.language.chat import chat_model

    return chat_model(name, url=url, key=key, per_minute=per_minute, budget=budget, dtype=dtype)


def _settings(system: str | None, max_tokens: int) -> "AnswerSettings":
    from syn2real.language.bias.answering import AnswerSettings

    return AnswerSettings(system, max_tokens)
