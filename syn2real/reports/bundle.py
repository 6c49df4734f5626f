"""Running a study into an output directory: stages beneath, results, report, picture and model on top."""

import json
import shutil
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.experiments.adaptation import Adapted, Material, Study, load_material
from syn2real.experiments.recipe import Recipe
from syn2real.experiments.results import Results, versions
from syn2real.experiments.stages import Workspace
from syn2real.reports.card import model_card
from syn2real.reports.curve import draw_curve
from syn2real.reports.page import render_page
from syn2real.sealing import sealed_directory, sealed_file, write_text

STAGES = "stages"
RESULTS, REPORT, PICTURE = "results.json", "report.html", "lambda.png"


def run_and_report(recipe: Recipe, output: Path, material: Material | None = None) -> dict[str, Any]:
    """Run a recipe into ``output`` and return what `results.json` holds.

    Raises `UserError` when ``output`` holds something that is not a study's.
    """
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / STAGES).is_dir()):
        raise UserError(f"{output}: already holds something else; choose another --output")
    workspace = Workspace(output / STAGES)
    study = Study(recipe, material or load_material(recipe), workspace)
    with workspace.lock():
        adapted = study.adapt()
        # The model is there whatever becomes of its scores, and no older report stays beside it.
        for name in (RESULTS, REPORT, PICTURE):
            (output / name).unlink(missing_ok=True)
        if not len(study.material.test):
            record = _untested(recipe, adapted)
            _deliver_model(adapted, output, None)
        else:
            _deliver_model(adapted, output, None)
            record = _report(study.evaluate(adapted), output)
            _deliver_model(adapted, output, model_card(record))
        write_text(output / RESULTS, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        workspace.forget_unfinished()
    return record


def _report(results: Results, output: Path) -> dict[str, Any]:
    record = results.record()
    picture = draw_curve(record)
    with sealed_file(output / PICTURE) as partial:
        partial.write_bytes(picture)
    write_text(output / REPORT, render_page(record, picture))
    return record


def _untested(recipe: Recipe, adapted: Adapted) -> dict[str, Any]:
    return {
        "study": recipe.study,
        "title": recipe.title,
        "systems": [],
        "lambda": {"chosen": adapted.scale, "chosen_by": adapted.proxies},
        "recipe": recipe.model_dump(mode="json"),
        "versions": versions(),
    }


def _deliver_model(adapted: Adapted, output: Path, card: str | None) -> None:
    with sealed_directory(output / "model", overwrite=True) as partial:
        shutil.copytree(adapted.model, partial, dirs_exist_ok=True)
        if card is not None:
            (partial / "README.md").write_text(card, encoding="utf-8")
    with sealed_file(output / "vector.safetensors") as partial:
        shutil.copyfile(adapted.vector_file, partial)
