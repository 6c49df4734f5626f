"""Running a study into an output directory: stages beneath; model, vector, results and report on top."""

import shutil
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.experiments.adaptation import Adapted, Study
from syn2real.experiments.grid import Grid
from syn2real.experiments.grid_recipe import GridRecipe
from syn2real.experiments.grid_record import grid_record
from syn2real.experiments.material import Material, load_material
from syn2real.experiments.output import RESULTS, study_workspace, write_results
from syn2real.experiments.ready import ReadyRecipe, ready_study
from syn2real.experiments.ready_vector import CARD, README, VECTOR, ReadyVector
from syn2real.experiments.recipe import Recipe
from syn2real.experiments.stages import Workspace
from syn2real.experiments.vector_recipe import VectorRecipe
from syn2real.experiments.vector_study import VectorStudy
from syn2real.experiments.vectors import transfer_record, vectors_record
from syn2real.reports.card import model_card
from syn2real.reports.files import remove_report, write_report
from syn2real.reports.vector_card import vector_readme
from syn2real.sealing import sealed_directory, write_json, write_text

MODEL = "model"
READY = "vector"


def run_study(recipe: Recipe, output: Path, material: Material | None = None) -> dict[str, Any]:
    """Run a recipe into ``output`` and return what `results.json` holds.

    The model with its card, and the vector, are there before anything is scored; the report follows where the material
    has test recordings. Raises `UserError` when ``output`` holds something that is not a study's.
    """
    workspace = study_workspace(output)
    study = Study.of(recipe, material or load_material(recipe), workspace)
    return _run(study, workspace, output)


def run_ready(recipe: ReadyRecipe, ready: ReadyVector, text: Path, test: Path | None, output: Path) -> dict[str, Any]:
    """Adapt with a published vector into ``output``, as `run_study` does with one of its own."""
    workspace = study_workspace(output)
    return _run(ready_study(recipe, ready, text, test, workspace), workspace, output)


def run_vector(recipe: VectorRecipe, output: Path) -> dict[str, Any]:
    """Make a vector to be published, in the folder `READY` of ``output``, and return what its card holds."""
    workspace = study_workspace(output)
    study = VectorStudy(recipe, load_material(recipe), workspace)
    with workspace.lock():
        made = study.make()
        record = made.card.record()
        with sealed_directory(output / READY, overwrite=True) as partial:
            shutil.copyfile(made.file, partial / VECTOR)
            write_json(partial / CARD, record)
            write_text(partial / README, vector_readme(record))
        workspace.forget_unfinished()
    return record


def _run(study: Study, workspace: Workspace, output: Path) -> dict[str, Any]:
    with workspace.lock():
        adapted = study.adapt()
        # No older report stays beside the new model.
        (output / RESULTS).unlink(missing_ok=True)
        remove_report(output)
        record = study.describe(adapted).record()
        _deliver(adapted, model_card(record), output)
        if len(study.test):
            record = study.evaluate(adapted).record()
            write_report(record, output)
            write_text(output / MODEL / README, model_card(record))
        write_results(record, output)
        workspace.forget_unfinished()
    return record


def run_grid(recipe: GridRecipe, output: Path) -> dict[str, Any]:
    """Run a grid into ``output`` and return what `results.json` holds; the report lies beside it.

    Raises `UserError` when ``output`` holds something that is not a study's, or when every cell failed.
    """
    from syn2real.reports.grid_files import write_grid_report

    workspace = study_workspace(output)
    grid = Grid(recipe, workspace)
    with workspace.lock():
        outcome = grid.run()
        if not outcome.heard:
            raise UserError(f"no cell came to an end; the first: {outcome.failed[0].error}")
        record = grid_record(grid, outcome)
        write_results(record, output)
        write_grid_report(record, output)
        if not outcome.failed:
            workspace.forget_unfinished()
    return record


def plan_grid(recipe: GridRecipe, output: Path) -> dict[str, Any]:
    """The stages that `run_grid` would make, with a rough estimate in seconds of this machine's cores; nothing is
    made."""
    workspace = study_workspace(output, dry=True)
    grid = Grid(recipe, workspace)
    cells = grid.run().cells
    vectors_record(grid)
    transfer_record(grid)
    return {"cells": len(cells), **workspace.plan()}


def _deliver(adapted: Adapted, card: str, output: Path) -> None:
    with sealed_directory(output / MODEL, overwrite=True) as partial:
        shutil.copytree(adapted.model, partial, dirs_exist_ok=True)
        (partial / README).write_text(card, encoding="utf-8")
    if adapted.chosen.models and adapted.chosen.way == "syn2real":
        adapted.vector.save(output / VECTOR)
    else:  # published elsewhere, and the card says which it is; or no part of this model
        (output / VECTOR).unlink(missing_ok=True)
