"""Running a study of gender bias into an output directory: stages beneath, results and report on top."""

import shutil
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.experiments.bias.recipe import BiasRecipe
from syn2real.experiments.output import RESULTS, study_workspace, write_results
from syn2real.experiments.stages import RECORD
from syn2real.sealing import read_json, sealed_directory

CASES, GENERATOR = "cases", "generator"


def run_bias(recipe: BiasRecipe, output: Path) -> dict[str, Any]:
    """Run a recipe into ``output`` and return what `results.json` holds; the report lies beside it.

    Raises `UserError` when ``output`` holds something that is not a study's.
    """
    from syn2real.experiments.bias.study import Study, study_record
    from syn2real.reports.bias_files import write_bias_report

    workspace = study_workspace(output)
    with workspace.lock():
        study = Study(recipe, workspace)
        record = study_record(study, study.run())
        write_bias_report(record, output)
        write_results(record, output)
        workspace.forget_unfinished()
    return record


def plan_bias(recipe: BiasRecipe, output: Path) -> dict[str, Any]:
    """The stages that `run_bias` would make, with a rough estimate; nothing is made."""
    from syn2real.experiments.bias.study import Study

    workspace = study_workspace(output, dry=True)
    Study(recipe, workspace).run()
    return {"unit": "sentences", **workspace.plan()}


def provoked(recipe: BiasRecipe, output: Path) -> dict[str, Any]:
    """Teach a generator against the recipe's target, and write `CASES` and `GENERATOR` into ``output``; what
    `syn2real bias provoke` prints."""
    from syn2real.experiments.bias.pipeline import Pipeline
    from syn2real.language.bias.answering import REPLIES
    from syn2real.language.bias.reward import ROLLOUTS, reinforcement_in
    from syn2real.language.bias.sets import read_set

    workspace = study_workspace(output)
    pipeline = Pipeline(workspace, recipe)
    pipeline.require()
    with workspace.lock():
        target = pipeline.target(recipe.targets[0])
        generator = pipeline.reinforced(target)
        cases = pipeline.written_set(f"generator against {target.recipe.name}", generator)
        for name, stage in ((CASES, cases), (GENERATOR, generator)):
            with sealed_directory(output / name, overwrite=True) as partial:
                shutil.copytree(
                    stage.directory,
                    partial,
                    dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns(RECORD, ROLLOUTS, REPLIES),
                )
        workspace.forget_unfinished()
    card = read_set(output / CASES).card
    return {"target": target.recipe.name, "cases": card, "curve": reinforcement_in(generator.directory)["curve"]}


def report_again(output: Path, *, show: bool) -> dict[str, Any]:
    """Write the report of a finished study anew, with or without what was provoked. Raises `UserError` where there is
    none."""
    from syn2real.reports.bias_files import write_bias_report

    record = read_json(output, RESULTS, "give the folder of a study that has finished")
    if record.get("study") != "bias":
        raise UserError(f"{output}: is a study of another kind; give one of gender bias")
    write_bias_report(record, output, show=show)
    return record
