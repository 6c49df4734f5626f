"""`merge` and `methods`: merging models by recipe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json
from syn2real.errors import UserError


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("merge")(merge)
    app.command("methods")(show_methods)


def merge(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe: our YAML or mergekit's. Or use --expression.")
    ] = None,
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
    shard_size: Annotated[
        str | None, typer.Option(help="Largest shard, for instance 5GB; default: as the anchor.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is one.")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: one for each processor.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="Working memory at most, for instance 500MB.")] = None,
    template: Annotated[Path | None, typer.Option(help="Directory whose configuration and tokenizer to use.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the plan, write nothing.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute and compare after writing.")] = False,
    check: Annotated[Path | None, typer.Option("--check", help="Confirm an earlier merge from its merge.json.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Merge models: any sum of checkpoints and task vectors, or a method such as TIES, into one that transformers loads.

    Everything is checked before a byte is written; a killed merge is taken up by the same command.

    [bold]Examples[/bold]

      syn2real merge -e "T + 0.7*(R - S)" -m T=tuned-menu -m R=tuned-real -m S=tuned-synthetic -o adapted
      syn2real merge recipes/ties.yaml --output merged --dry-run
      syn2real merge mergekit.yml -o merged --set parameters.density=0.3 --out-dtype bfloat16
      syn2real merge --check merged
    """
    if check is not None:
        _check(check, as_json)
        return
    from syn2real.merge.output import WriteSettings, preflight, write
    from syn2real.merge.plan import plan_recipe
    from syn2real.progress import Bar

    if output is None:
        raise UserError("merge: say where the result goes with --output")
    loaded = _recipe(recipe, expression, models or [], settings or [], out_dtype, dtype)
    chosen: dict[str, Any] = {
        "template": template,
        "overwrite": overwrite,
        "threads": threads,
        "shard_size": parse_size(shard_size, "--shard-size"),
        "max_memory": parse_size(max_memory, "--max-memory"),
    }
    plan = plan_recipe(loaded, device=require_device(device))
    for note in plan.notes:
        typer.echo(f"note: {note}", err=True)
    if dry_run:
        used = preflight(plan, output, WriteSettings(**chosen))
        _show_plan(plan, output, used, chosen["shard_size"], as_json)
        return
    bar = Bar(f"merging {len(plan.inputs)} models")
    chosen["on_start"] = bar.start
    chosen["on_tensor"] = lambda _: bar.advance()
    try:
        write(plan, output, **chosen)
    finally:
        bar.stop()
    if verify:
        from syn2real.merge.verification import differing

        wrong = differing(plan, output)
        if wrong:
            raise UserError(
                f"{output}: {len(wrong)} tensors are not what was computed, {wrong[0]} first; check the disk"
            )
    if as_json:
        print_json({"model": str(output), "tensors": len(plan.pieces), "bytes": plan.bytes_out, "verified": verify})
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


def parse_size(text: str | None, option: str) -> int | None:
    """Bytes from ``5GB``, ``500MB`` or a number. Raises `UserError`."""
    if text is None:
        return None
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "B": 1}
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


def _recipe(
    recipe: Path | None,
    expression: str | None,
    models: list[str],
    settings: list[str],
    out_dtype: str | None,
    dtype: str | None,
) -> Any:
    from syn2real.merge.recipe import load_recipe, parse_recipe

    overrides: dict[str, Any] = {}
    for item in settings:
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--set {item}: write KEY=VALUE, for instance parameters.density=0.3")
        overrides[key] = value
    given = {"out_dtype": out_dtype, "dtype": dtype}
    if (recipe is None) == (expression is None):
        raise UserError("merge: give either a recipe or --expression with --model NAME=PATH")
    if recipe is not None:
        if models:
            raise UserError("--model: only with --expression; the recipe names its models")
        loaded = load_recipe(recipe, overrides)
        changed = loaded.model_dump() | {key: value for key, value in given.items() if value is not None}
        return parse_recipe(**changed)
    named = {}
    for item in models:
        key, equals, value = item.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"--model {item}: write NAME=PATH, for instance T=tuned-menu")
        named[key] = value
    values: dict[str, Any] = {"expression": expression, "models": named}
    values |= {key: value for key, value in given.items() if value is not None}
    for key, text in overrides.items():
        import yaml

        head, _, tail = key.partition(".")
        if tail:
            values.setdefault(head, {})[tail] = yaml.safe_load(text)
        else:
            values[head] = yaml.safe_load(text)
    return parse_recipe(**values)


def _show_plan(plan: Any, output: Path, threads: int, shard_size: int | None, as_json: bool) -> None:
    layout = plan.layout(shard_size)
    facts = {
        "output": str(output),
        "inputs": [{"name": s.name, "bytes": sum(i.nbytes for i in s.infos.values())} for s in plan.inputs],
        "tensors": len(plan.pieces),
        "shards": len(layout),
        "bytes_in": plan.bytes_in,
        "bytes_out": plan.bytes_out,
        "threads": threads,
        "peak_memory": plan.peak_memory(threads),
    }
    if as_json:
        print_json(facts)
        return
    show = console().print
    for source in facts["inputs"]:
        show(f"read   {source['name']}: {source['bytes'] / 1e6:.1f} MB", markup=False, highlight=False)
    show(
        f"write  {output}: {len(plan.pieces)} tensors, {plan.bytes_out / 1e6:.1f} MB in {len(layout)} files",
        markup=False,
    )
    show(f"with   {threads} threads, {plan.peak_memory(threads) / 1e6:.0f} MB of working memory at most", markup=False)


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
