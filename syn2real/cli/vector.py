"""`vector make`, `vector apply` and `vector info`: task vectors by hand."""

from pathlib import Path
from typing import Annotated

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json

app = typer.Typer(help="Task vectors: the difference of two models, to be added to a third.", no_args_is_help=True)
Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")]


@app.command()
def make(
    real: Annotated[Path, typer.Argument(help="The model to move towards, say tuned on real speech.")],
    synthetic: Annotated[Path, typer.Argument(help="The model to move away from, say tuned on synthetic speech.")],
    output: Output,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Subtract two checkpoints of one architecture: τ = REAL − SYNTHETIC.

    [bold]Example[/bold]

      syn2real vector make tuned-real tuned-synthetic --output syn2real.safetensors
    """
    from syn2real.merge import Checkpoint
    from syn2real.sealing import require_absent

    require_absent(output, overwrite=overwrite)
    vector = Checkpoint.open(real) - Checkpoint.open(synthetic)
    vector.save(output)
    _show(output, as_json)


@app.command()
def apply(
    model: Annotated[Path, typer.Argument(help="The model to add to, say tuned on synthetic target speech.")],
    vector: Annotated[Path, typer.Argument(help="A task vector made by `vector make`.")],
    output: Output,
    scale: Annotated[float, typer.Option("--lambda", help="How much of the vector to add.")] = 1.0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Add a task vector to a model: θ + λτ, as a complete Hugging Face directory.

    [bold]Example[/bold]

      syn2real vector apply tuned-menu syn2real.safetensors --lambda 0.7 --output adapted
    """
    from syn2real.merge import Checkpoint, TaskVector, write

    merged = Checkpoint.open(model) + scale * TaskVector.load(vector)
    write(merged, output, overwrite=overwrite)
    if as_json:
        print_json({"model": str(output), "lambda": scale})
    else:
        typer.echo(f"{output}: {model.name} + {scale:g} × {vector.name}")


@app.command()
def info(vector: Annotated[Path, typer.Argument(help="A task vector.")], as_json: Json = False) -> None:
    """What a task vector is made of, and where it is large.

    [bold]Example[/bold]

      syn2real vector info syn2real.safetensors --json
    """
    _show(vector, as_json)


def _show(path: Path, as_json: bool) -> None:
    from syn2real.merge import TaskVector

    record = TaskVector.load(path).info()
    if as_json:
        print_json(record)
        return
    for name, value in record.items():
        console().print(f"[bold]{name}[/bold]: {value}", highlight=False)
