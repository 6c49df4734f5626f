"""`doctor`: what this machine has, what is missing, and the traps that make imports fail."""

import typer

from syn2real.cli.output import Json, console, print_json


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: Json = False) -> None:
    """Check packages, engines, disk, threads and GPU. Status 1 when something is broken rather than absent.

    [bold]Examples[/bold]

      syn2real doctor
      syn2real doctor --json
    """
    from dataclasses import asdict

    from syn2real.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "[green]ok[/green]", "absent": "[yellow]absent[/yellow]", "broken": "[red]broken[/red]"}
        for finding in findings:
            remedy = f" → {finding.remedy}" if finding.remedy else ""
            console().print(f"{marks[finding.state]:>24}  ", end="")
            console().print(f"{finding.what}: {finding.detail}{remedy}", markup=False, highlight=False)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
