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


def run_and_report(recipe: Recipe, output: Path, material: Material | None = None) -> dict[str, Any]:
    """Run a recipe into ``output`` and return what `results.json` holds.

    Raises `UserError` when ``output`` holds something that is not a study's.
    """
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / STAGES).is_dir()):
        raise UserError(f"{output}: already holds something else; choose another --output")
    material = material or load_material(recipe)
    workspace = Workspace(output / STAGES)
    with workspace.lock():
        study = Study(recipe, material, workspace)
        adapted = study.adapt()
        if not len(material.test):
            return _deliver_untested(recipe, adapted, output)
        results = study.evaluate(adapted)
        return _deliver(results, output)


def _deliver(results: Results, output: Path) -> dict[str, Any]:
    record = results.record()
    picture = draw_curve(record)
    with sealed_file(output / "lambda.png") as partial:
        partial.write_bytes(picture)
    write_text(output / "report.html", render_page(record, picture))
    _deliver_model(results.model, results.vector, output, model_card(record))
    results.save(output / "results.json")
    return record


def _deliver_untested(recipe: Recipe, adapted: Adapted, output: Path) -> dict[str, Any]:
    record = {
        "study": recipe.study,
        "title": recipe.title,
        "systems": [],
        "lambda": {"chosen": adapted.scale, "chosen_by": adapted.proxies},
        "recipe": recipe.model_dump(mode="json"),
        "versions": versions(),
    }
    _deliver_model(adapted.model, adapted.vector_file, output, None)
    write_text(output / "results.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return record


def _deliver_model(model: Path, vector: Path, output: Path, card: str | None) -> None:
    with sealed_directory(output / "model", overwrite=True) as partial:
        shutil.copytree(model, partial, dirs_exist_ok=True)
        if card is not None:
            (partial / "README.md").write_text(card, encoding="utf-8")
    with sealed_file(output / "vector.safetensors") as partial:
        shutil.copyfile(vector, partial)
