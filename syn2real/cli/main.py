"""The `syn2real` command. One file per command group; nothing heavy is imported before a command runs."""

import sys

import typer

from syn2real import __version__
from syn2real.cli import (
    adapt,
    augment,
    bias,
    check,
    corpus,
    doctor,
    finetuning,
    merge,
    safety,
    scoring,
    synthesis,
    text,
    transcription,
    tuning,
    utility,
    vector,
    voices,
)
from syn2real.errors import NotInstalled, UserError, one_line, printable

app = typer.Typer(
    name="syn2real",
    help="Adapt a speech recogniser to a domain for which only text exists.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: [bold]syn2real demo --output demo[/bold]",
)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", is_eager=True, help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


adapt.add_to(app)
synthesis.add_to(app)
finetuning.add_to(app)
transcription.add_to(app)
scoring.add_to(app)
merge.add_to(app)
voices.add_to(app)
augment.add_to(app)
check.add_to(app)
tuning.add_to(app)
doctor.add_to(app)
app.add_typer(vector.app, name="vector")
app.add_typer(corpus.app, name="corpus")
app.add_typer(text.app, name="text")
app.add_typer(safety.app, name="safety")
app.add_typer(bias.app, name="bias")
app.add_typer(utility.app, name="utility")


def main() -> None:
    """Run the command line. A user's error, or the system's refusal of a file, is one line and status 1."""
    try:
        app()
    except UserError as error:
        lines = map(printable, f"error: {error}".split("\n"))  # it may quote a hostile file
        typer.echo("\n".join(lines), err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        from syn2real.diagnosis import extra_for

        extra = extra_for(error)
        if extra is None:
            raise
        typer.echo(f"error: {NotInstalled(str(error.name), extra)}", err=True)
        sys.exit(1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, of a GPU
            raise
        typer.echo(
            f"error: the GPU has too little memory ({one_line(error, 120)}); ask for smaller batches (--batch-size), "
            "and in training for --accumulation and --gradient-checkpointing",
            err=True,
        )
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"error: {error.filename}: {error.strerror}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
