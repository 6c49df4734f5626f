"""The folder of a study: its stages, and what it found on top of them."""

from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.experiments.stages import Workspace
from syn2real.sealing import write_json

STAGES, RESULTS = "stages", "results.json"


def study_workspace(output: Path, *, dry: bool = False) -> Workspace:
    """The stages of a study's output. Raises `UserError` when it holds something else."""
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / STAGES).is_dir()):
        raise UserError(f"{output}: already holds something else; choose another --output")
    return Workspace(output / STAGES, dry=dry)


def write_results(record: dict[str, Any], output: Path) -> None:
    """Write what a study found."""
    write_json(output / RESULTS, record)
