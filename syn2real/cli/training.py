"""What the commands that train have in common: the options of adapters, and the line that says how it ended."""

from pathlib import Path
from typing import Annotated, Any

import typer

from syn2real.errors import UserError
from syn2real.lora import LoraSettings

LoraRank = Annotated[int | None, typer.Option(min=1, help="Train LoRA adapters of this rank instead of the weights.")]
LoraAlpha = Annotated[float | None, typer.Option(help="What scales them, over the rank; 16 if not given.")]
LoraTarget = Annotated[
    list[str] | None, typer.Option(help="A linear layer's name or its end; repeatable. Default: attention and MLP.")
]
GradientCheckpointing = Annotated[bool, typer.Option("--gradient-checkpointing", help="Less memory for more time.")]


def lora_of(
    rank: int | None,
    alpha: float | None,
    targets: list[str] | None,
    dropout: float | None = None,
    stabilised: bool = False,
) -> LoraSettings | None:
    """Adapters as the options say, or None without a rank. Raises `UserError` for other options without it."""
    given: dict[str, Any] = {"alpha": alpha, "dropout": dropout, "targets": tuple(targets) if targets else None}
    given = {name: value for name, value in given.items() if value is not None}
    if rank is None:
        if given or stabilised:
            raise UserError("the other options of LoRA need its rank: add --lora-rank, for instance 8")
        return None
    return LoraSettings(rank, stabilised=stabilised, **given)


def print_ending(output: Path, record: dict[str, Any], things: str) -> None:
    """Print how a training ended, from its ``training.json``; ``things`` is what that counts: clips or examples."""
    losses = [row["loss"] for row in record["log"] if "loss" in row]
    ending = f", loss {losses[-1]:.3f}" if losses else ""
    typer.echo(f"{output}: {record['steps']} steps over {record[things]} {things}{ending}")
