"""`demo`, `run` and `adapt`: the main job."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import Json, Language, Model, console, parse_weights, print_json
from syn2real.errors import UserError
from syn2real.speech.training import DEFAULTS

if TYPE_CHECKING:
    from syn2real.experiments.grid_recipe import GridRecipe


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
    as_json: Json = False,
) -> None:
    """Run a study from a recipe. What is finished is reused; the same command goes on after an interruption.

    A recipe with `study: syn2real` adapts a model to one target and delivers it; one with `study: grid` compares
    systems over many targets, models, voices and seeds.

    [bold]Examples[/bold]

      syn2real run recipes/speechocean762.yaml --set corpus.manifest=/data/speechocean762/manifest.jsonl
      syn2real run recipes/speechocean762_full.yaml --dry-run
      syn2real run my.yaml --output runs/mine --set training.epochs=1 --json
    """
    from syn2real.documents import parse_overrides
    from syn2real.experiments.grid_recipe import GridRecipe, load_study

    loaded = load_study(recipe, parse_overrides(settings or []))
    if check:
        typer.echo(f"{recipe}: valid", err=True)
        return
    output = output or Path("runs") / recipe.stem
    if isinstance(loaded, GridRecipe):
        _grid(loaded, output, dry_run, as_json)
    elif dry_run:
        raise UserError(f"{recipe}: only a grid has a dry run; --check validates this recipe")
    else:
        _study(loaded, output, as_json)


def adapt(
    text: Annotated[Path, typer.Option("--text", "-t", help="Domain text: one sentence a line, or a JSONL manifest.")],
    source: Annotated[Path, typer.Option("--source", "-s", help="Manifest of labelled real speech of other domains.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the adapted model goes.")],
    model: Model = "whisper-base",
    language: Language = None,
    test: Annotated[
        Path | None, typer.Option("--test", help="Manifest of real target recordings, only to report the gain.")
    ] = None,
    engine: Annotated[list[str] | None, typer.Option("--engine", "-e", help="Engine[=weight]; repeatable.")] = None,
    held_out: Annotated[
        list[str] | None, typer.Option("--held-out", help="Source domain kept out of the vector to choose λ.")
    ] = None,
    scale: Annotated[float | None, typer.Option("--lambda", help="Use this λ instead of choosing one.")] = None,
    renditions: Annotated[int, typer.Option(help="How often each domain sentence is spoken.")] = 2,
    epochs: Annotated[float, typer.Option(help="Passes over the clips, for every model tuned.")] = DEFAULTS.epochs,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = DEFAULTS.learning_rate,
    as_json: Json = False,
) -> None:
    """Adapt a recogniser to a domain of which you have only text, with labelled real speech of other domains.

    The text is spoken by synthesisers and the model tuned on it; the SYN2REAL vector, made from the source speech and
    the same sentences synthesised, is added. λ is chosen on source speech: the held-out domains, else the largest
    domains in turn (at most 3), else, with a single domain, a half of its sentences.

    [bold]Examples[/bold]

      syn2real adapt --model whisper-base --language es --text menu.txt --source calls/manifest.jsonl --output adapted
      syn2real adapt -m whisper-tiny.en -t data/domains/music_en.txt -s calls/manifest.jsonl -o adapted
      syn2real adapt -m ./my-whisper -t menu.txt -s calls/manifest.jsonl -o adapted --test menu-test/manifest.jsonl
    """
    from syn2real.experiments.material import adaptation_material
    from syn2real.experiments.recipe import parse_recipe
    from syn2real.speech.pretrained import only_language, resolve_model

    material = adaptation_material(source, text, held_out or [], test)
    recipe = parse_recipe(
        title=f"{Path(model).name} adapted to {text.stem}",
        model=model,
        language=language or only_language(resolve_model(model)),
        corpus={"manifest": source},
        target=[text.stem],
        held_out=held_out or [],
        target_text=text,
        scale=scale,
        synthesis={"engines": parse_weights(engine or ["espeak"]), "target_renditions": renditions},
        training={"epochs": epochs, "learning_rate": learning_rate},
    )
    _study(recipe, output, as_json, material)


def _grid(recipe: "GridRecipe", output: Path, dry_run: bool, as_json: bool) -> None:
    from syn2real.cli.study import plan_grid, run_grid

    if dry_run:
        plan = plan_grid(recipe, output)
        if as_json:
            print_json(plan)
        else:
            from syn2real.reports.grid_terminal import print_plan

            print_plan(plan, console())
        return
    record = run_grid(recipe, output)
    if as_json:
        print_json(record)
    else:
        from syn2real.reports.grid_terminal import print_grid

        print_grid(record, console())
    failed = [cell for cell in record["cells"] if cell["status"] != "done"]
    if failed:
        typer.echo(f"{len(failed)} of {len(record['cells'])} cells failed; the same command tries them again", err=True)
        raise typer.Exit(1)


def _study(recipe: Any, output: Path, as_json: bool, material: Any = None) -> None:
    from syn2real.cli.study import MODEL, run_study

    record = run_study(recipe, output, material)
    typer.echo(f"model: {output / MODEL}", err=True)
    if as_json:
        print_json(record)
    elif record["systems"]:
        from syn2real.reports.files import REPORT
        from syn2real.reports.terminal import print_results

        print_results(record, console())
        typer.echo(f"report: {output / REPORT}", err=True)
