"""Running a study into an output directory: stages beneath; model, vector, results and report on top."""

import json
import shutil
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.experiments.adaptation import Adapted, Material, Study, load_material
from syn2real.experiments.recipe import Recipe
from syn2real.experiments.stages import Workspace
from syn2real.reports.card import model_card
from syn2real.reports.files import remove_report, write_report
from syn2real.sealing import sealed_directory, sealed_file, write_text

STAGES = "stages"
MODEL = "model"
RESULTS = "results.json"


def run_study(recipe: Recipe, output: Path, material: Material | None = None) -> dict[str, Any]:
    """Run a recipe into ``output`` and return what `results.json` holds.

    The model with its card, and the vector, are there before anything is scored; the report follows where the material
    has test recordings. Raises `UserError` when ``output`` holds something that is not a study's.
    """
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / STAGES).is_dir()):
        raise UserError(f"{output}: already holds something else; choose another --output")
    workspace = Workspace(output / STAGES)
    study = Study(recipe, material or load_material(recipe), workspace)
    with workspace.lock():
        adapted = study.adapt()
        # No older report stays beside the new model.
        (output / RESULTS).unlink(missing_ok=True)
        remove_report(output)
        record = study.describe(adapted).record()
        _deliver(adapted, model_card(record), output)
        if len(study.material.test):
            record = study.evaluate(adapted).record()
            write_report(record, output)
            write_text(output / MODEL / "README.md", model_card(record))
        write_text(output / RESULTS, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        workspace.forget_unfinished()
    return record


def _deliver(adapted: Adapted, card: str, output: Path) -> None:
    with sealed_directory(output / MODEL, overwrite=True) as partial:
        shutil.copytree(adapted.model, partial, dirs_exist_ok=True)
        (partial / "README.md").write_text(card, encoding="utf-8")
    with sealed_file(output / "vector.safetensors") as partial:
        shutil.copyfile(adapted.vector_file, partial)
