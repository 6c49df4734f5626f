"""`vector …`: task vectors by hand: made, applied, compared, averaged, compressed, extracted as LoRA, shared."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json, print_record
from syn2real.errors import UserError, did_you_mean, printable

if TYPE_CHECKING:
    from syn2real.merge import Checkpoint, TaskVector

app = typer.Typer(help="Task vectors: the difference of two models, to be added to a third.", no_args_is_help=True)
Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")]
Stored = Annotated[Path, typer.Argument(help="A task vector made by `vector make`.")]
StoredDtype = Annotated[str, typer.Option(help="Of what is stored: float32, float16 or bfloat16.")]


@app.command()
def make(
    real: Annotated[str, typer.Argument(help="The model to move towards, say tuned on real speech.")],
    synthetic: Annotated[str, typer.Argument(help="The model to move away from, say tuned on synthetic speech.")],
    output: Output,
    dtype: StoredDtype = "float32",
    allow_dtypes: Annotated[
        bool, typer.Option("--allow-dtypes", help="Accept models of different floating-point widths.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Subtract two checkpoints of one architecture: τ = REAL − SYNTHETIC.

    A model is a directory, a weight file, BASE+ADAPTER for a LoRA adapter on its base, or a hub id (org/name).

    [bold]Examples[/bold]

      syn2real vector make tuned-real tuned-synthetic --output syn2real.safetensors
      syn2real vector make base+lora base --dtype bfloat16 -o lora.safetensors
    """
    from syn2real.merge import TaskVector
    from syn2real.sealing import require_absent

    require_absent(output, overwrite=overwrite)
    kind = _dtype(dtype)
    vector = TaskVector.between(_model(real), _model(synthetic), allow_dtypes=allow_dtypes)
    with _Progress(f"writing {output.name}", len(vector.names)) as step:
        vector.save(output, dtype=kind, on_tensor=step)
    _show(output, as_json)


@app.command()
def apply(
    model: Annotated[str, typer.Argument(help="The model to add to, say tuned on synthetic target speech.")],
    vectors: Annotated[list[str], typer.Argument(help="Task vectors, each as PATH or PATH=λ.", metavar="VECTOR[=λ]…")],
    output: Output,
    scale: Annotated[float, typer.Option("--lambda", help="λ of the vectors that do not say their own.")] = 1.0,
    out_dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; default: the model's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: one for each processor.")] = None,
    allow_dtypes: Annotated[
        bool, typer.Option("--allow-dtypes", help="Accept vectors of models of other floating-point widths.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add task vectors to a model: θ + Σ λτ, as a complete Hugging Face directory with a record of every λ.

    A killed run is taken up by the same command.

    [bold]Examples[/bold]

      syn2real vector apply tuned-menu syn2real.safetensors --lambda 0.7 --output adapted
      syn2real vector apply tuned-menu real.safetensors=0.7 noise.safetensors=-0.2 --out-dtype float16 -o adapted
    """
    from syn2real.merge import write
    from syn2real.merge.plan import plan_recipe
    from syn2real.merge.recipe import parse_recipe
    from syn2real.progress import Bar

    if not math.isfinite(scale):
        raise UserError(f"--lambda {scale}: is not a finite number")
    terms = [_scaled(item, scale) for item in vectors]
    names = ["tau"] if len(terms) == 1 else [f"tau{i}" for i in range(1, len(terms) + 1)]
    for path, _ in terms:
        _vector(path)  # finds what is no vector before the model is looked at
    expression = "model" + "".join(
        f" {'-' if factor < 0 else '+'} {abs(factor)!r} * {name}"
        for name, (_, factor) in zip(names, terms, strict=True)
    )
    recipe = parse_recipe(
        expression=expression,
        models={"model": model} | {name: path for name, (path, _) in zip(names, terms, strict=True)},
        out_dtype=out_dtype,
        allow_dtypes=allow_dtypes,
    )
    plan = plan_recipe(recipe)
    bar = Bar(f"writing {output.name}")
    try:
        write(
            plan,
            output,
            overwrite=overwrite,
            threads=threads,
            on_start=bar.start,
            on_tensor=lambda _: bar.advance(),
        )
    finally:
        bar.stop()
    if as_json:
        added = [{"vector": path, "lambda": factor} for path, factor in terms]
        print_json({"model": str(output), "lambda": terms[0][1] if len(terms) == 1 else None, "vectors": added})
    else:
        said = "".join(f" {'−' if f < 0 else '+'} {abs(f):g} × {Path(path).name}" for path, f in terms)
        typer.echo(f"{output}: {Path(model).name}{said}")


@app.command()
def info(vector: Stored, as_json: Json = False) -> None:
    """What a task vector is made of, where it is large, and what compression has cost it; of a published vector's
    folder, its card.

    [bold]Example[/bold]

      syn2real vector info syn2real.safetensors --json
    """
    if vector.is_dir():
        _show_card(vector, as_json)
    else:
        _show(vector, as_json)


@app.command()
def compare(
    items: Annotated[list[str], typer.Argument(help="Task vectors; with --base, models too.", metavar="VECTOR…")],
    base: Annotated[str | None, typer.Option("--base", "-b", help="What to subtract from models.")] = None,
    subspace: Annotated[int, typer.Option(min=0, help="Dimensions of the subspaces compared; 0: none (faster).")] = 8,
    png: Annotated[Path | None, typer.Option("--png", help="Draw a heat map into this file.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """How alike task vectors are: cosines, signs and subspaces; whole, by layer and by group of tensors.

    A cosine near 0 says that two vectors hardly disturb each other. Chance gives 0.5 for signs.

    [bold]Examples[/bold]

      syn2real vector compare weather.safetensors medical.safetensors --png heat.png
      syn2real vector compare tuned-a tuned-b tuned-c --base base --json
    """
    from syn2real.merge.similarity import compare as compute
    from syn2real.sealing import require_absent_file

    if png is not None:
        from syn2real.merge.heatmap import draw, require_drawable

        require_drawable(png)
        require_absent_file(png, overwrite=overwrite)
    reference = _model(base) if base is not None else None
    vectors = {name: _difference(item, reference) for name, item in zip(_names(items), items, strict=True)}
    with _Progress("comparing", len(next(iter(vectors.values())).names)) as step:
        found = compute(vectors, subspace=subspace, on_tensor=step)
    if png is not None:
        draw(found, png)
    if as_json:
        print_json(found.as_json())
        return
    _print_similarity(found)
    if png is not None:
        typer.echo(f"{png}: heat map", err=True)


@app.command()
def mean(
    vectors: Annotated[list[str], typer.Argument(help="Task vectors, each as PATH or PATH=WEIGHT.", metavar="VECTOR…")],
    output: Output,
    dtype: StoredDtype = "float32",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """The mean of task vectors, weighted where weights are given; they are divided by their sum.

    [bold]Examples[/bold]

      syn2real vector mean weather.safetensors medical.safetensors -o both.safetensors
      syn2real vector mean weather.safetensors=3 medical.safetensors=1 -o both.safetensors
    """
    from syn2real.merge import TaskVector
    from syn2real.sealing import require_absent

    require_absent(output, overwrite=overwrite)
    kind = _dtype(dtype)
    terms = [_scaled(item, 1.0) for item in vectors]
    averaged = TaskVector.mean([_vector(path) for path, _ in terms], [weight for _, weight in terms])
    with _Progress(f"writing {output.name}", len(averaged.names)) as step:
        averaged.save(output, dtype=kind, on_tensor=step)
    _show(output, as_json)


@app.command()
def compress(
    vector: Stored,
    output: Output,
    method: Annotated[str, typer.Option("--method", "-m", help="int8, lowrank or sparse.")] = "int8",
    density: Annotated[float, typer.Option(help="Share of elements that sparse keeps.")] = 0.1,
    rank: Annotated[int, typer.Option(help="Rank that lowrank keeps of each matrix.")] = 16,
    dtype: StoredDtype = "float32",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Store a task vector smaller, with its relative error. It is used like any other.

    int8 rounds to 8 bits, lowrank stores factors of each matrix, sparse keeps the largest elements. How far each may go
    is not told by its error: docs/ready-vectors.md has what a recogniser loses by it.

    [bold]Examples[/bold]

      syn2real vector compress syn2real.safetensors -o small.safetensors
      syn2real vector compress syn2real.safetensors -m lowrank --rank 16 --dtype bfloat16 -o smaller.safetensors
    """
    from syn2real.merge.compression import compress as compress_vector
    from syn2real.sealing import require_absent

    require_absent(output, overwrite=overwrite)
    loaded = _vector(str(vector))
    with _Progress(f"writing {output.name}", len(loaded.names)) as step:
        report = compress_vector(
            loaded,
            output,
            method,  # type: ignore[arg-type]
            density=density,
            rank=rank,
            dtype=_dtype(dtype),
            on_tensor=step,
        )
    if as_json:
        print_json({"vector": str(output), **report})
    else:
        error, size = report["relative_error"], report["bytes"] / 1e6
        typer.echo(f"{output}: {size:.1f} MB, 1/{report['ratio']:.1f} of float32; relative error {error:.3g}")


@app.command("extract-lora")
def extract_lora(
    vector: Stored,
    base: Annotated[str, typer.Option("--base", "-b", help="The model that the adapter goes on.")],
    output: Output,
    rank: Annotated[
        int | None, typer.Option(help="Rank of every matrix; default 16, unless --energy is given.")
    ] = None,
    energy: Annotated[
        float | None, typer.Option(help="Share of squares to keep instead: each matrix gets the rank it needs.")
    ] = None,
    embeddings: Annotated[str, typer.Option(help="lora, save (whole) or skip.")] = "lora",
    rest: Annotated[bool, typer.Option("--rest/--no-rest", help="Keep norms, biases, convolutions whole.")] = True,
    dtype: StoredDtype = "float32",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Turn a task vector into a LoRA adapter that PEFT loads, by singular value decomposition of each matrix.

    [bold]Examples[/bold]

      syn2real vector extract-lora syn2real.safetensors --rank 16 --base tuned-menu -o lora
      syn2real vector extract-lora syn2real.safetensors --energy 0.9 --no-rest -b tuned-menu -o lora
    """
    from syn2real.merge.extraction import extract_lora as extract
    from syn2real.sealing import require_absent

    require_absent(output, overwrite=overwrite)
    if rank is None and energy is None:
        rank = 16
    loaded, model = _vector(str(vector)), _model(base)
    matrices = sum(len(info.shape) == 2 for info in loaded.infos.values())
    with _Progress("decomposing", matrices) as step:
        report = extract(
            loaded,
            model,
            output,
            rank=rank,
            energy=energy,
            dtype=_dtype(dtype),
            embeddings=embeddings,  # type: ignore[arg-type]
            keep_rest=rest,
            overwrite=overwrite,
            on_tensor=step,
        )
    if as_json:
        print_json({"adapter": str(output), **report.as_json()})
        return
    share = report.parameters / report.of_parameters
    typer.echo(
        f"{output}: {len(report.modules)} matrices, {report.parameters:,} elements ({share:.1%} of the vector's), "
        f"relative error {report.relative_error:.3g}"
    )
    worst = sorted(report.modules, key=lambda module: -module.error)[:5]
    typer.echo("largest errors: " + ", ".join(f"{m.module} {m.error:.3g} (rank {m.rank})" for m in worst), err=True)
    for said, names in (("kept whole", report.saved), ("left out", report.left_out)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            typer.echo(f"{said}: {', '.join(names[:3])}{more}", err=True)
    if report.tied:
        typer.echo(
            "the output is tied to the embeddings: PEFT's merge_and_unload would add their part twice; for one model "
            f"use `syn2real merge -e A -m A={base}+{output} -o OUT`, or extract with --embeddings skip",
            err=True,
        )


@app.command()
def push(
    vector: Stored,
    repository: Annotated[str, typer.Argument(help="Where on the hub: org/name. It is made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Of the commit.")] = None,
    as_json: Json = False,
) -> None:
    """Send a task vector to the hub, with a card that says what it is, of what it was made and how to apply it; a
    published vector's folder as it is.

    [bold]Example[/bold]

      syn2real vector push syn2real.safetensors my-org/whisper-menu-vector --private
    """
    from syn2real.experiments import ready_vector
    from syn2real.merge import hub

    send = ready_vector.push if vector.is_dir() else hub.push
    address = send(vector, repository, private=private, message=message)
    if as_json:
        print_json({"url": address})
    else:
        typer.echo(address)


@app.command()
def pull(
    repository: Annotated[str, typer.Argument(help="org/name or org/name@revision.")],
    output: Output,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fetch a task vector from the hub, checked: a file, or the folder of a published vector.

    [bold]Example[/bold]

      syn2real vector pull my-org/whisper-menu-vector --output syn2real.safetensors
    """
    from syn2real.experiments import ready_vector
    from syn2real.merge import hub

    if ready_vector.pull(repository, output, overwrite=overwrite) is not None:
        _show_card(output, as_json)
        return
    hub.pull(repository, output, overwrite=overwrite)
    _show(output, as_json)


def _model(reference: str) -> "Checkpoint":
    """A model by any reference. Raises `UserError` for a task vector."""
    from syn2real.merge import Checkpoint
    from syn2real.merge.plan import open_source

    source = open_source(reference)
    if not isinstance(source, Checkpoint):
        raise UserError(f"{reference}: a task vector where a model is needed")
    return source


def _vector(path: str) -> "TaskVector":
    from syn2real.merge import TaskVector

    return TaskVector.load(path)


def _difference(item: str, base: "Checkpoint | None") -> "TaskVector":
    """A stored vector as it is, a model less the base."""
    from syn2real.merge import Checkpoint, TaskVector
    from syn2real.merge.plan import open_source
    from syn2real.merge.vector import Term

    source = open_source(item)
    if not isinstance(source, Checkpoint):
        return TaskVector([Term(1.0, source)])
    if base is None:
        raise UserError(f"{item}: a model; say with --base what to subtract from it")
    return TaskVector.between(source, base, allow_dtypes=True)


def _scaled(item: str, default: float) -> tuple[str, float]:
    """``PATH=0.7`` as path and number; a path that exists as it is has the default."""
    path, equals, number = item.rpartition("=")
    if not equals or Path(item).exists():
        return item, default
    try:
        factor = float(number)
    except ValueError as error:
        raise UserError(f"{item}: write VECTOR=NUMBER, for instance {path}=0.7") from error
    if not math.isfinite(factor):
        raise UserError(f"{item}: {number} is not a finite number")
    return path, factor


def _dtype(name: str) -> Any:
    import torch

    choices = ("float32", "float16", "bfloat16")
    if name not in choices:
        raise UserError(f"dtype {name!r}: unknown{did_you_mean(name, choices)}")
    return getattr(torch, name)


def _names(items: list[str]) -> list[str]:
    """What to call each item: its last part, or all of it where two would be called the same."""
    short = [Path(item).name.removesuffix(".safetensors") for item in items]
    if len(set(items)) < len(items):
        twice = next(item for item in items if items.count(item) > 1)
        raise UserError(f"{twice}: given twice")
    return [name if short.count(name) == 1 else item for name, item in zip(short, items, strict=True)]


class _Progress:
    """A bar over ``total`` tensors; yields what counts one."""

    def __init__(self, title: str, total: int) -> None:
        from syn2real.progress import Bar

        self._bar, self._total = Bar(title), total

    def __enter__(self) -> Any:
        self._bar.start(self._total)
        return lambda _: self._bar.advance()

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _show_card(folder: Path, as_json: bool) -> None:
    from syn2real.experiments.ready_vector import ReadyVector
    from syn2real.reports.vector_card import print_vector

    print_record(ReadyVector.open(folder).card.record(), print_vector, as_json=as_json)


def _show(path: Path, as_json: bool) -> None:
    record = _vector(str(path)).info()
    if as_json:
        print_json(record)
        return
    from rich.markup import escape

    screen = console()
    groups = record.pop("largest_groups")
    parents = record.pop("parents")
    for name, value in record.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{key} {item:g}" if isinstance(item, float) else f"{key} {item}" for key, item in value.items()
            )
        elif isinstance(value, int):
            value = f"{value:,}"
        elif isinstance(value, float):
            value = f"{value:.6g}"
        screen.print(f"[bold]{printable(name)}[/bold]: {escape(printable(str(value)))}", highlight=False)
    screen.print("[bold]parents[/bold]:")
    _print_parents(parents, 1)
    screen.print("[bold]largest[/bold] (norm; per element, relative to the whole):")
    for group in groups:
        line = f"  {group['group']}: {group['norm']:.4g}; {group['relative_norm']:.2f}"
        screen.print(line, markup=False, highlight=False)


def _print_parents(parents: list[dict[str, Any]], depth: int) -> None:
    for parent in parents:
        factor = f"{parent.get('coefficient', 1.0):+g}".replace("-", "−")
        line = printable(f"{'  ' * depth}{factor} × {parent['name']}  {parent['sha256'][:16]}…")
        console().print(line, markup=False, highlight=False, soft_wrap=True)
        _print_parents(parent.get("parents") or [], depth + 1)


def _print_similarity(found: Any) -> None:
    """One row for each pair; then by group and by layer."""
    from itertools import combinations

    from rich.markup import escape
    from rich.table import Table

    names = [escape(name) for name in found.names]
    pairs = list(combinations(range(len(names)), 2))
    screen = console()
    for name, norm in zip(names, found.whole.norms.tolist(), strict=True):
        screen.print(f"‖{name}‖ = {norm:.4g}", highlight=False)
    table = Table("pair", title=f"{found.elements:,} elements", title_justify="left")
    for title in ("cosine", "equal signs", "weighted"):
        table.add_column(title, justify="right")
    spaces = found.subspaces
    if spaces is not None:
        table.add_column(f"subspaces (k={spaces.k})", justify="right")
        table.add_column("by chance", justify="right")
    measures = [found.whole.cosines, found.whole.agreement, found.whole.weighted_agreement]
    measures += [spaces.overlap, spaces.expected] if spaces is not None else []
    for i, j in pairs:
        table.add_row(f"{names[i]} · {names[j]}", *(_figure(matrix[i, j].item()) for matrix in measures))
    screen.print(table)
    for title, parts in (("group", found.groups), ("layer", found.layers)):
        if parts and len(pairs) <= 6:
            table = Table(title, title=f"cosine by {title}", title_justify="left")
            for i, j in pairs:
                table.add_column(f"{names[i]} · {names[j]}", justify="right")
            for part, sums in parts.items():
                table.add_row(escape(part), *(_figure(sums.cosines[i, j].item()) for i, j in pairs))
            screen.print(table)


def _figure(value: float) -> str:
    return "–" if value != value else f"{value:.3f}".replace("-", "−")
