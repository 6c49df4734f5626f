"""`demo`, `run` and `adapt`: the main job."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from syn2real.cli.output import (
    EngineOption,
    Json,
    Language,
    Model,
    Show,
    console,
    parse_weights,
    print_json,
    print_record,
)
from syn2real.errors import UserError
from syn2real.speech.training import DEFAULTS

Study: TypeAlias = Callable[[Any, Path], dict[str, Any]]  # what comes of a recipe, in an output directory
OPTIONS = {  # by the keys of a recipe that they give
    "scale": "--lambda",
    "synthesis.engines": "--engine",
    "synthesis.target_renditions": "--renditions",
    "training.epochs": "--epochs",
    "training.learning_rate": "--learning-rate",
}
OptionalModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A model directory, one of Whisper's names or a hub id (org/name); default whisper-base, or the vector's.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)
    app.command("run")(run)
    app.command("adapt")(adapt)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where results, report and model go.")] = Path("demo"),
    language: Annotated[str, typer.Option("--language", "-l", help="Language of the spoken stamps.")] = "es",
    model: Model = "whisper-base",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer clips: under 5 minutes on 2 cores.")] = False,
    as_json: Json = False,
) -> None:
    """Teach Whisper the animals, from their names alone.

    Real recordings of a children's drawing program are fetched; a model that has only read the animals' names is
    tested on how they are really spoken. The same command goes on after an interruption.

    [bold]Examples[/bold]

      syn2real demo --output demo
      syn2real demo --language fr --quick
    """
    from syn2real.experiments.demo import demo_corpus, demo_recipe

    corpus = demo_corpus(language)
    _study(demo_recipe(corpus, language, model, quick), output, as_json)


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe, see recipes/.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: runs/NAME of the recipe.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, for instance training.epochs=1.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only validate the recipe.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List a grid's stages with an estimate.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With the recipe's own small settings: a look, in minutes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a study from a recipe. What is finished is reused; the same command goes on after an interruption.

    A recipe with `study: syn2real` adapts a model to one target and delivers it; one with `study: grid` compares
    systems over many targets, models, voices and seeds; one with `study: vector` makes a task vector to be published,
    with which others adapt without real speech. `study: safeguard` and `study: mergealign` show what fine-tuning does
    to a chat model's safety, and what merging gives back; `study: bias` how far a model's answers change with gender.

    [bold]Examples[/bold]

      syn2real run recipes/speechocean762.yaml --set corpus.manifest=/data/speechocean762/manifest.jsonl
      syn2real run recipes/speechocean762_full.yaml --dry-run
      syn2real run recipes/vector_tuxpaint_es.yaml --output runs/spanish
      syn2real run recipes/safeguard_smollm2.yaml --quick
      syn2real run my.yaml --output runs/mine --set training.epochs=1 --json
    """
    from syn2real.documents import parse_overrides
    from syn2real.experiments.studies import load_study

    loaded = load_study(recipe, parse_overrides(settings or []), quick=quick, absent=dry_run or check)
    if check:
        _checked(recipe, loaded)
        return
    output = output or Path("runs") / recipe.stem
    # By name: the modules of one kind may need what is not installed for another.
    match loaded.study:
        case "grid":
            _grid(loaded, output, dry_run, as_json)
        case "safeguard" | "mergealign":
            _alignment(loaded, output, dry_run, as_json)
        case "bias":
            _bias(loaded, output, dry_run, as_json)
        case _ if dry_run:
            raise UserError(f"{recipe}: this kind of study has no dry run; --check validates the recipe")
        case "vector":
            _vector(loaded, output, as_json)
        case _:
            _study(loaded, output, as_json)


def adapt(
    text: Annotated[Path, typer.Option("--text", "-t", help="Domain text: one sentence a line, or a JSONL manifest.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the adapted model goes.")],
    source: Annotated[
        Path | None, typer.Option("--source", "-s", help="Manifest of labelled real speech of other domains.")
    ] = None,
    vector: Annotated[
        str | None, typer.Option("--vector", "-v", help="Instead: a published vector, its folder or hub id (org/name).")
    ] = None,
    model: OptionalModel = None,
    language: Language = None,
    test: Annotated[
        Path | None, typer.Option("--test", help="Manifest of real target recordings, only to report the gain.")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option("--engine", "-e", help="Engine[=weight]; repeatable.")] = None,
    option: EngineOption = None,
    held_out: Annotated[
        list[str] | None, typer.Option("--held-out", help="Source domain kept out of the vector to choose λ.")
    ] = None,
    scale: Annotated[float | None, typer.Option("--lambda", help="Use this λ instead of choosing one.")] = None,
    way: Annotated[
        Literal["choose", "syn2real", "text-on-real", "average"] | None,
        typer.Option(
            "--sum",
            help="Which sum of the three models; default choose, which source speech decides, "
            "or syn2real where --lambda is given.",
        ),
    ] = None,
    renditions: Annotated[
        int | None, typer.Option(help="How often each domain sentence is spoken; default 2, or the vector's.")
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help=f"Passes over the clips of every model; default {DEFAULTS.epochs:g}, or the vector's."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help=f"Peak learning rate; default {DEFAULTS.learning_rate:g}, or the vector's.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Add a published vector to another model than it was made for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Adapt a recogniser to a domain of which you have only text, with labelled real speech of other domains, or with
    a vector that somebody made of such speech and published.

    The text is spoken by synthesisers and the model tuned on it; the SYN2REAL vector, made from the source speech and
    the same sentences synthesised, is added. λ is chosen on source speech: the held-out domains, else the largest
    domains in turn (at most 3), else, with a single domain, a half of its sentences. Where there are several domains
    two other sums of the same models are tried too, and the best is taken: text-on-real adds what the text teaches to
    the model tuned on real speech, average lies between that model and the one tuned on the text; --sum names one
    instead. A published vector brings its λ, and its voices and training settings are taken unless others are given.

    [bold]Examples[/bold]

      syn2real adapt --model whisper-base --language es --text menu.txt --source calls/manifest.jsonl --output adapted
      syn2real adapt -m whisper-tiny.en -t data/domains/music_en.txt -s calls/manifest.jsonl -o adapted
      syn2real adapt -m ./my-whisper -t menu.txt -s calls/manifest.jsonl -o adapted --test menu-test/manifest.jsonl
      syn2real adapt -m whisper-base -t menu.txt --vector spanish/vector -o adapted
      syn2real adapt -t menu.txt --vector my-org/whisper-base-es-vector --lambda 0.7 -o adapted
    """
    from syn2real.speech.engines import read_options

    engines = parse_weights(engine) if engine else None
    options = read_options(option or [])
    training = {"epochs": epochs, "learning_rate": learning_rate}
    if (source is None) == (vector is None):
        raise UserError(
            f"give {'one of' if source else 'either'} --source (real speech, of which a vector is made) "
            "or --vector (one that was published, where there is no real speech at hand)"
        )
    if vector is not None:
        if held_out:
            raise UserError("--held-out: chooses λ on --source; a published vector has its λ, or give --lambda")
        if way is not None:
            raise UserError("--sum: is of models made from --source; a published vector is added as it is")
        _ready(
            vector, text, test, output, as_json,
            model=model, language=language, engines=engines, options=options, renditions=renditions,
            training=training, scale=scale, force=force,
        )  # fmt: skip
        return
    if force:
        raise UserError("--force: is for --vector; a vector of --source is always the model's own")
    if way == "choose" and scale is not None:
        raise UserError("--sum choose: chooses λ too; leave --lambda out, or name the sum that it is of")
    assert source is not None
    from syn2real.experiments.material import adaptation_material
    from syn2real.experiments.recipe import parse_recipe
    from syn2real.speech.pretrained import only_language, resolve_model

    model = model or "whisper-base"
    material = adaptation_material(source, text, held_out or [], test)
    with _called_by_options():
        recipe = parse_recipe(
            title=f"{Path(model).name} adapted to {text.stem}",
            model=model,
            language=language or only_language(resolve_model(model)),
            corpus={"manifest": source},
            target=[text.stem],
            held_out=held_out or [],
            target_text=text,
            scale=scale,
            sum=way or ("choose" if scale is None else "syn2real"),
            synthesis={
                "engines": engines or {"espeak": 1.0},
                "options": options or None,
                "target_renditions": 2 if renditions is None else renditions,
            },
            training={name: value for name, value in training.items() if value is not None},
        )
    _study(recipe, output, as_json, material)


@contextmanager
def _called_by_options() -> Iterator[None]:
    """Of a recipe that options gave, an error names the option and not the key."""
    try:
        yield
    except UserError as error:
        for key, option in OPTIONS.items():
            if str(error).startswith((f"{key}:", f"{key}.")):
                raise UserError(option + str(error).removeprefix(key).replace(".", " ", 1)) from error
        raise


def _checked(file: Path, recipe: Any) -> None:
    if recipe.study in ("safeguard", "mergealign"):
        from syn2real.experiments.alignment.material import Material
        from syn2real.experiments.alignment.needs import require
        from syn2real.experiments.alignment.recipe import missing_files

        require(recipe, Material(recipe), look=True)
        for path in missing_files(recipe):
            typer.echo(f"not here: {path}", err=True)
    elif recipe.study == "bias":
        from syn2real.experiments.bias import needs

        needs.require(recipe)
    typer.echo(f"{file}: valid", err=True)


def _grid(recipe: Any, output: Path, dry_run: bool, as_json: bool) -> None:
    from syn2real.cli.study import plan_grid, run_grid
    from syn2real.reports.grid_terminal import print_grid

    record = _planned_or_run(recipe, output, (plan_grid, run_grid, print_grid), dry_run, as_json)
    failed = [cell for cell in record["cells"] if cell["status"] != "done"] if record else []
    if record and failed:
        typer.echo(f"{len(failed)} of {len(record['cells'])} cells failed; the same command tries them again", err=True)
        raise typer.Exit(1)


def _alignment(recipe: Any, output: Path, dry_run: bool, as_json: bool) -> None:
    from syn2real.cli.alignment import MODEL, plan_alignment, run_alignment
    from syn2real.reports.alignment import print_alignment

    if _planned_or_run(recipe, output, (plan_alignment, run_alignment, print_alignment), dry_run, as_json):
        typer.echo(f"model: {output / MODEL}", err=True)


def _bias(recipe: Any, output: Path, dry_run: bool, as_json: bool) -> None:
    from syn2real.cli.bias_study import plan_bias, run_bias
    from syn2real.reports.bias import print_study

    _planned_or_run(recipe, output, (plan_bias, run_bias, print_study), dry_run, as_json)


def _planned_or_run(
    recipe: Any, output: Path, ways: tuple[Study, Study, Show], dry_run: bool, as_json: bool
) -> dict[str, Any] | None:
    """Print what a study would make, or run it and print what it found, which is returned; ``ways`` to plan it, to run
    it and to show the latter."""
    plan, run, show = ways
    if dry_run:
        from syn2real.reports.plan import print_plan

        print_record(plan(recipe, output), print_plan, as_json=as_json)
        return None
    record = run(recipe, output)
    print_record(record, show, as_json=as_json)
    return record


def _study(recipe: Any, output: Path, as_json: bool, material: Any = None) -> None:
    from syn2real.cli.study import run_study

    _show(run_study(recipe, output, material), output, as_json)


def _ready(vector: str, text: Path, test: Path | None, output: Path, as_json: bool, **given: Any) -> None:
    from syn2real.cli.study import run_ready
    from syn2real.experiments.ready import ready_recipe
    from syn2real.experiments.ready_vector import ReadyVector

    ready = ReadyVector.open(vector)
    with _called_by_options():
        recipe = ready_recipe(ready, text, **given)
    _show(run_ready(recipe, ready, text, test, output), output, as_json)


def _vector(recipe: Any, output: Path, as_json: bool) -> None:
    from syn2real.cli.study import READY, run_vector
    from syn2real.reports.vector_card import print_vector

    record = run_vector(recipe, output)
    typer.echo(f"vector: {output / READY}", err=True)
    print_record(record, print_vector, as_json=as_json)


def _show(record: dict[str, Any], output: Path, as_json: bool) -> None:
    from syn2real.cli.study import MODEL

    typer.echo(f"model: {output / MODEL}", err=True)
    if as_json:
        print_json(record)
    elif record["systems"]:
        from syn2real.reports.files import REPORT
        from syn2real.reports.terminal import print_results

        print_results(record, console())
        typer.echo(f"report: {output / REPORT}", err=True)
