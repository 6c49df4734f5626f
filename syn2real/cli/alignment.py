"""Running a study of language models into an output directory: stages beneath, results and report on top."""

from pathlib import Path
from typing import Any

from syn2real.experiments.alignment.recipe import MergeAlignRecipe, SafeguardRecipe
from syn2real.experiments.output import study_workspace, write_results


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
        write_results(record, output)
        workspace.forget_unfinished()
    return record


def plan_alignment(recipe: SafeguardRecipe | MergeAlignRecipe, output: Path) -> dict[str, Any]:
    """The stages that `run_alignment` would make, with a rough estimate, and what would have to be fetched first.
    Nothing is made, and nothing fetched."""
    from syn2real.experiments.alignment.needs import needs
    from syn2real.experiments.alignment.study import Study

    workspace = study_workspace(output, dry=True)
    Study(recipe, workspace).run()
    return {"unit": "examples", **workspace.plan(), "needs": needs(recipe)}
