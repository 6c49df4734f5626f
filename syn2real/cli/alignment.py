"""Running a study of language models into an output directory: stages beneath, results and report on top."""

import json
from pathlib import Path
from typing import Any

from syn2real.cli.study import RESULTS, study_workspace
from syn2real.experiments.alignment.recipe import MergeAlignRecipe, SafeguardRecipe
from syn2real.experiments.stages import Workspace
from syn2real.sealing import write_text


def run_alignment(recipe: SafeguardRecipe | MergeAlignRecipe, output: Path) -> dict[str, Any]:
    """Run a recipe into ``output`` and return what `results.json` holds; the report lies beside it.

    Raises `UserError` when ``output`` holds something that is not a study's.
    """
    from syn2real.experiments.alignment.study import Study, study_record
    from syn2real.reports.alignment_files import write_alignment_report

    workspace = study_workspace(output)
    with workspace.lock():
        study = Study(recipe, workspace)
        record = study_record(study, study.run())
        write_alignment_report(record, output)
        write_text(output / RESULTS, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        workspace.forget_unfinished()
    return record


def plan_alignment(recipe: SafeguardRecipe | MergeAlignRecipe, output: Path) -> dict[str, Any]:
    """The stages that `run_alignment` would make, with a rough estimate; nothing is made."""
    from syn2real.experiments.alignment.study import Study

    workspace = Workspace(study_workspace(output).root, dry=True)
    Study(recipe, workspace).run()
    return {"unit": "examples", **workspace.plan()}
