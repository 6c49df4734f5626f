"""Options of the commands that many processes or machines can share."""

from typing import Annotated

import typer

SCALE = "Many machines"  # the panel of these options in a command's help

ShardOption = Annotated[
    str | None, typer.Option("--shard", help="Do this share only, as I/N.", rich_help_panel=SCALE, metavar="I/N")
]
Backend = Annotated[str, typer.Option(help="processes of this machine, or ray.", rich_help_panel=SCALE)]
RayAddress = Annotated[
    str | None, typer.Option(help="A running Ray cluster; without it Ray is started here.", rich_help_panel=SCALE)
]
RayGpus = Annotated[
    float, typer.Option(min=0, help="GPUs of each Ray worker; 0.5 for two on one.", rich_help_panel=SCALE)
]
