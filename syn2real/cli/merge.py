"""`merge` and `methods`: merging models by recipe."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json
from syn2real.cli.startup import importing
from syn2real.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("merge")(merge)
    app.command("methods")(show_methods)
    app.command("search")(search)


def merge(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe, ours or mergekit's; or use --expression.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the merged model goes.")] = None,
    expression: Annotated[
        str | None, typer.Option("--expression", "-e", help="A sum of models, for instance 'T + 0.7*(R - S)'.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="NAME=PATH of a model in the expression; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, for instance parameters.density=0.3.")
    ] = None,
    out_dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; default: the anchor's.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the arithmetic: float64 (default) or float32.")] = None,
    shard_size: Annotated[str | None, typer.Option(help="Largest shard, such as 5GB; default: as the anchor.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of methods that draw, before the recipe's; other seeds, other draws.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is one.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: one for each processor.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="Working memory at most, for instance 500MB.")] = None,
    template: Annotated[
        Path | None, typer.Option(help="Whose configuration and tokenizer to use; none: weights alone.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, leave.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute and compare after writing.")] = False,
    stages: Annotated[
        Path | None,
        typer.Option(help="Where merges go that others of the same file use; default: OUTPUT-stages."),
    ] = None,
    ctranslate2: Annotated[
        Path | None, typer.Option("--ctranslate2", help="Also convert the result for CTranslate2, into this directory.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="Of --ctranslate2: float16, int8, …")] = None,
    check: Annotated[Path | None, typer.Option("--check", help="Confirm an earlier merge from its merge.json.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Merge models by a sum of checkpoints and task vectors, or by a method such as TIES, for transformers to load.

    Everything is checked before a byte is written; a killed merge is taken up by the same command.

    [bold]Examples[/bold]

      syn2real merge -e "T + 0.7*(R - S)" -m T=tuned-menu -m R=tuned-real -m S=tuned-synthetic -o adapted
      syn2real merge recipes/merge/ties.yaml --output merged --dry-run
      syn2real merge mergekit.yml -o merged --set parameters.density=0.3 --out-dtype bfloat16
      syn2real merge several.yaml -o merged --stages steps    # recipes parted by ---, which use each other's results
      syn2real merge --check merged
    """
    if check is not None:
        _check(check, as_json)
        return
    with importing():
        from syn2real.merge import references
        from syn2real.merge.chain import make_stages
        from syn2real.merge.export import require_exportable, to_ctranslate2
        from syn2real.merge.plan import plan_recipe
        from syn2real.sealing import require_absent

    if output is None:
        raise UserError("merge: say where the result goes with --output")
    chain = _chain(recipe, expression, models or [], settings or [], out_dtype, dtype, seed)
    folder = stages or output.with_name(f"{output.name}-stages")
    chosen: dict[str, Any] = {
        "template": template,
        "overwrite": overwrite,
        "threads": threads,
        "shard_size": parse_size(shard_size, "--shard-size"),
        "max_memory": parse_size(max_memory, "--max-memory"),
    }
    require_device(device)
    if quantization is not None and ctranslate2 is None:
        raise UserError("--quantization: is of --ctranslate2; name its directory too, or leave it out")
    if ctranslate2 is not None:
        require_exportable(ctranslate2, quantization, overwrite=overwrite)
    if dry_run:
        _show_plans(chain, folder, output, device, chosen, as_json)
        return
    if chain.stages:
        require_absent(output, overwrite=overwrite)  # which may take long to come to
    make_stages(chain, folder, device=device, writing=lambda *made, **how: _write(*made, **chosen | how))
    plan = plan_recipe(chain.placed(chain.result, folder), device=device)
    if ctranslate2 is not None:
        references.require_apart(ctranslate2, [(source.name, source.path) for source in plan.inputs])
        references.require_apart(ctranslate2, [("the merged model", output)], of="conversion")
    started = time.monotonic()
    _write(plan, output, **chosen)
    seconds = round(time.monotonic() - started, 3)
    if ctranslate2 is not None:
        to_ctranslate2(output, ctranslate2, quantization, overwrite=overwrite)
    if verify:
        from syn2real.merge.verification import differing

        wrong = differing(plan, output)
        if wrong:
            raise UserError(
                f"{output}: {len(wrong)} tensors are not what was computed, {wrong[0]} first; check the disk"
            )
    if as_json:
        print_json(
            {
                "model": str(output),
                "stages": [str(folder / name) for name in chain.stages],
                "tensors": len(plan.pieces),
                "bytes": plan.bytes_out,
                "seconds": seconds,
                "verified": verify,
            }
        )
    else:
        typer.echo(
            f"{output}: {len(plan.pieces)} tensors, {plan.bytes_out / 1e6:.0f} MB{', verified' if verify else ''}"
        )


def show_methods(
    name: Annotated[str | None, typer.Argument(help="Show one method in full.")] = None,
    as_json: Json = False,
) -> None:
    """The merge methods, with their parameters, equations and sources.

    [bold]Examples[/bold]

      syn2real methods
      syn2real methods ties
    """
    from syn2real.merge import METHODS

    chosen = [METHODS.get(item) for item in ([name] if name else METHODS.names())]
    if as_json:
        print_json(
            [
                {
                    "name": method.name,
                    "base": method.base,
                    "models": method.models,
                    "parameters": {p.name: p.default for p in method.parameters.values()},
                    "doc": method.doc,
                }
                for method in chosen
            ]
        )
        return
    for method in chosen:
        typer.echo(f"{method.name}: {method.doc if name else method.summary}")
        for parameter in method.parameters.values() if name else ():
            kind = "|".join(parameter.choices) or parameter.kind.__name__
            each = ", for each model" if parameter.per_model else ""
            default = parameter.default[0] if parameter.per_model else parameter.default
            typer.echo(f"  {parameter.name}: {kind}{each}, default {default}")


def search(
    recipe: Annotated[Path, typer.Argument(help="A merge recipe.")],
    spans: Annotated[
        list[str], typer.Option("--range", "-r", help="KEY=LOW:HIGH or, for a grid, KEY=LOW:HIGH:POINTS; repeatable.")
    ],
    score: Annotated[str, typer.Option("--score", "-s", help="A command that prints a number; {model} is the merge.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the best model and the table of trials go.")],
    sampler: Annotated[str, typer.Option(help="tpe, cmaes or grid.")] = "tpe",
    trials: Annotated[int, typer.Option(min=1, help="Merges to try; a grid tries all of its points.")] = 20,
    maximize: Annotated[bool, typer.Option("--maximize", help="The highest score is best, not the lowest.")] = False,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    as_json: Json = False,
) -> None:
    """Search a recipe's numbers for the merge with the best score. The same command goes on after an interruption.

    The command's last number is the score, or `wer`, `score`, `loss` or `value` of a JSON object that it prints. Score
    on data that is not the test's.

    [bold]Example[/bold]

      syn2real search adapt.yaml -r parameters.scale=0:1.5:7 --sampler grid -o best \\
        --score "syn2real evaluate dev/manifest.jsonl -m {model} --json"
    """
    from typing import cast

    from syn2real.merge.proposals import Span, Trial
    from syn2real.merge.recipe import load_recipe
    from syn2real.merge.score import command_score
    from syn2real.merge.search import best_of
    from syn2real.merge.search import search as run_search
    from syn2real.progress import say

    if sampler not in ("grid", "cmaes", "tpe"):
        raise UserError(f"--sampler {sampler}: choose from cmaes, grid, tpe")

    def told(trial: Trial, best: Trial | None) -> None:
        values = ", ".join(f"{key} = {value:.4g}" for key, value in trial.values.items())
        outcome = trial.problem if trial.score is None else f"{trial.score:.6g}"
        leader = f" (best: {best.score:.6g}, trial {best.number})" if best else ""
        say(f"trial {trial.number}: {values}: {outcome}{leader}")

    parsed = [Span.parse(item) for item in spans]
    found = run_search(
        load_recipe(recipe), parsed, command_score(score), output,
        sampler=cast(Any, sampler), trials=trials, maximize=maximize, seed=seed, on_trial=told,
    )  # fmt: skip
    if as_json:
        from dataclasses import asdict

        print_json([asdict(trial) for trial in found])
        return
    best = best_of(found, maximize)
    assert best is not None
    typer.echo(f"{output / 'model'}: trial {best.number} of {len(found)}, score {best.score:.6g}, {best.values}")


def parse_size(text: str | None, option: str) -> int | None:
    """Bytes from ``5GB``, ``500MB`` or a number. Raises `UserError`."""
    if text is None:
        return None
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    number = text.strip().upper()
    unit = next((unit for unit in sorted(units, key=len, reverse=True) if number.endswith(unit)), "")
    try:
        size = int(float(number.removesuffix(unit)) * units.get(unit, 1))
    except (ValueError, OverflowError) as error:
        raise UserError(f"{option} {text}: write a size, for instance 5GB or 500MB") from error
    if size <= 0:
        raise UserError(f"{option} {text}: must be more than 0")
    return size


def require_device(device: str) -> str:
    """``device`` if torch has it. Raises `UserError`."""
    import torch

    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise UserError(f"--device {device}: not available here; use cpu")
    return device


def _chain(
    recipe: Path | None,
    expression: str | None,
    models: list[str],
    settings: list[str],
    out_dtype: str | None,
    dtype: str | None,
    seed: int | None,
) -> Any:
    from syn2real.documents import parse_overrides, set_key
    from syn2real.merge.chain import Chain, load_chain
    from syn2real.merge.recipe import parse_recipe

    overrides = parse_overrides(settings)
    drawn = {"seed": seed} if seed is not None else {}
    given = {key: value for key, value in (("out_dtype", out_dtype), ("dtype", dtype)) if value is not None} | drawn
    if (recipe is None) == (expression is None):
        raise UserError("merge: give either a recipe or --expression with --model NAME=PATH")
    if recipe is not None:
        if models:
            raise UserError("--model: only with --expression; the recipe names its models")
        chain = load_chain(recipe, overrides)
        stages = {name: stage.model_copy(update=drawn) for name, stage in chain.stages.items()}
        return Chain(stages, parse_recipe(**chain.result.model_dump() | given))
    named = {}
    for item in models:
        key, equals, value = item.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"--model {item}: write NAME=PATH, for instance T=tuned-menu")
        named[key] = value
    values: dict[str, Any] = {"expression": expression, "models": named, **given}
    for key, text in overrides.items():
        set_key(values, key, text)
    return Chain({}, parse_recipe(**values))


def _write(plan: Any, output: Path, **settings: Any) -> None:
    """`write` with notes and a bar."""
    from syn2real.merge.output import write
    from syn2real.progress import Bar

    for note in plan.notes:
        typer.echo(f"note: {note}", err=True)
    bar = Bar(f"merging {len(plan.inputs)} models")
    try:
        write(plan, output, on_start=bar.start, on_tensor=lambda _: bar.advance(), **settings)
    finally:
        bar.stop()


def _show_plans(chain: Any, folder: Path, output: Path, device: str, settings: dict[str, Any], as_json: bool) -> None:
    """What every merge of a file would do; of one that uses others, which are not made yet, only that it does."""
    from syn2real.merge.output import WriteSettings, preflight
    from syn2real.merge.plan import plan_recipe

    shown = []
    merges = [(recipe, folder / name) for name, recipe in chain.stages.items()]
    for recipe, place in [*merges, (chain.result, output)]:
        after = [name for name in chain.uses(recipe) if not (folder / name).is_dir()]
        if after:
            shown.append({"output": str(place), "after": after})
            continue
        plan = plan_recipe(chain.placed(recipe, folder), device=device)
        for note in plan.notes:
            typer.echo(f"note: {note}", err=True)
        if place == output or not place.is_dir():
            used = preflight(plan, place, WriteSettings(**settings))
            shown.append(_facts(plan, place, used, settings["shard_size"]))
    if as_json:
        print_json({"merges": shown} if chain.stages else shown[0])
        return
    for facts in shown:
        _show_plan(facts)


def _facts(plan: Any, output: Path, threads: int, shard_size: int | None) -> dict[str, Any]:
    layout = plan.layout(shard_size)
    return {
        "output": str(output),
        "inputs": [{"name": s.name, "bytes": sum(i.nbytes for i in s.infos.values())} for s in plan.inputs],
        "tensors": len(plan.pieces),
        "shards": len(layout),
        "bytes_in": plan.bytes_in,
        "bytes_out": plan.bytes_out,
        "threads": threads,
        "peak_memory": plan.peak_memory(threads),
    }


def _show_plan(facts: dict[str, Any]) -> None:
    show = partial(console().print, markup=False, highlight=False)
    if "after" in facts:
        show(f"write  {facts['output']}: once there is {' and '.join(facts['after'])}")
        return
    for source in facts["inputs"]:
        show(f"read   {source['name']}: {source['bytes'] / 1e6:.1f} MB")
    written = f"{facts['tensors']} tensors, {facts['bytes_out'] / 1e6:.1f} MB in {facts['shards']} files"
    show(f"write  {facts['output']}: {written}")
    show(f"with   {facts['threads']} threads, {facts['peak_memory'] / 1e6:.0f} MB of working memory at most")


def _check(directory: Path, as_json: bool) -> None:
    from syn2real.merge.verification import check

    verdict = check(directory)
    if as_json:
        print_json(
            {
                "confirmed": verdict.confirmed,
                "tensors": verdict.tensors,
                "changed_inputs": verdict.changed_inputs,
                "differing": verdict.differing,
            }
        )
    if verdict.changed_inputs:
        raise UserError(f"{directory}: inputs have changed since: {', '.join(verdict.changed_inputs)}")
    if verdict.differing:
        count, first = len(verdict.differing), verdict.differing[0]
        raise UserError(
            f"{directory}: {count} of {verdict.tensors} tensors are not what its recipe gives, {first} first"
        )
    if not as_json:
        typer.echo(f"{directory}: confirmed, {verdict.tensors} tensors are bit by bit what its recipe gives")
