"""Running a study of language models into an output directory: stages beneath; results, report and model on top."""

import shutil
from pathlib import Path
from typing import Any

from syn2real.experiments.alignment.recipe import MergeAlignRecipe, SafeguardRecipe
from syn2real.experiments.output import study_workspace, write_results
from syn2real.sealing import write_text

MODEL = "model"
CARD = "README.md"
MARK = "merge.key"  # in the model's folder: which merge it is


def run_alignment(recipe: SafeguardRecipe | MergeAlignRecipe, output: Path) -> dict[str, Any]:
    """Run a recipe into ``output`` and return what `results.json` holds; the report lies beside it, and in `MODEL` the
    merge that was chosen, with its card.

    Raises `UserError` when ``output`` holds something that is not a study's.
    """
    from syn2real.experiments.alignment.study import Study, study_record
    from syn2real.reports.alignment_card import alignment_card
    from syn2real.reports.alignment_files import write_alignment_report

    workspace = study_workspace(output)
    with workspace.lock():
        study = Study(recipe, workspace)
        results = study.run()
        record = study_record(study, results)
        write_alignment_report(record, output)
        write_results(record, output)
        if results.best is not None:
            _deliver(results.best.subjects[0], alignment_card(record), output / MODEL)
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


def _deliver(subject: Any, card: str, directory: Path) -> None:
    """Write a merge and its card. One that is there already is not merged again."""
    mark = directory / MARK
    if not mark.is_file() or mark.read_text(encoding="ascii").strip() != subject.key:
        shutil.rmtree(directory, ignore_errors=True)
        subject.write(directory)
    write_text(directory / CARD, card)
    write_text(mark, subject.key + "\n")  # last: without it the merge is made again
