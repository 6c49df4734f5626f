"""A study of gender bias: sets of test cases against models, and what makes the answers fairer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from syn2real.experiments.bias.pipeline import Pipeline, Target
from syn2real.experiments.bias.recipe import BiasRecipe
from syn2real.experiments.stages import Stage, Workspace
from syn2real.experiments.versions import versions
from syn2real.language.bias.answering import PROVOKED, Answered
from syn2real.language.bias.figures import figures, paired, ratio
from syn2real.language.bias.mending import mended_record
from syn2real.language.bias.reward import reinforcement_in
from syn2real.language.bias.sets import read_set

SEEDS, PROMPTED, LEARNT = "seed sentences", "prompted model", "generator, tuned"
REINFORCED = "generator, reinforced against {}"
EXAMPLES = 8  # cases of the widest gaps that a report may show


@dataclass
class Results:
    """All that was measured: gaps by set and target, and those after each way of mending, by target and way."""

    sets: dict[str, Stage] = field(default_factory=dict)
    generators: dict[str, Stage] = field(default_factory=dict)  # reinforced, by target
    measured: dict[tuple[str, str], list[Answered]] = field(default_factory=dict)
    places: dict[tuple[str, str], Stage] = field(default_factory=dict)  # where the answers of each are
    mitigated: dict[tuple[str, str], tuple[list[Answered], dict[str, Any]]] = field(default_factory=dict)


class Study:
    """A study of one recipe in one workspace."""

    def __init__(self, recipe: BiasRecipe, workspace: Workspace) -> None:
        self.recipe = recipe
        self.pipeline = Pipeline(workspace, recipe)

    def run(self) -> Results:
        """Everything. In a dry run nothing is made, and the results are empty."""
        pipeline, results = self.pipeline, Results()
        pipeline.require()
        targets = {target.name: pipeline.target(target) for target in self.recipe.targets}
        results.sets[SEEDS] = pipeline.seed_set()
        if (prompted := pipeline.prompted_set()) is not None:
            results.sets[PROMPTED] = prompted
        results.sets[LEARNT] = pipeline.written_set(LEARNT, pipeline.learnt)
        for name in self.recipe.against:
            results.generators[name] = pipeline.reinforced(targets[name])
            called = REINFORCED.format(name)
            results.sets[called] = pipeline.written_set(called, results.generators[name])
        for name, target in targets.items():
            for called, cases in results.sets.items():
                stage, rows = pipeline.measured(target, cases, f"{name} with {called}")
                if rows is not None:
                    results.measured[called, name] = rows
                    results.places[called, name] = stage
            self._mitigate(results, name, target)
        return results

    def _mitigate(self, results: Results, name: str, target: Target) -> None:
        recipe = self.recipe.mitigation
        if recipe is None:
            return
        called = self.own_set(name)
        cases = results.sets[called]
        before = results.measured.get((called, name))
        _, pool = self.pipeline.measured(target, cases, f"{name} with the pool of {called}", pool=True)
        for way in recipe.ways:
            asked = before[: recipe.cases] if before else None
            found = self.pipeline.mitigated(target, cases, way, asked, pool)
            if found is not None:
                results.mitigated[name, way] = found

    def own_set(self, name: str) -> str:
        """The set on which a target's answers are mended: of the generator against it, else of the first."""
        against = self.recipe.against
        return REINFORCED.format(name if name in against else against[0])


def study_record(study: Study, results: Results) -> dict[str, Any]:
    """What a study found, as JSON. Of the examples, the widest gaps, it says where they are: what was provoked stands
    apart."""
    recipe = study.recipe
    threshold = recipe.answers.threshold
    return {
        "study": recipe.study,
        "title": recipe.title,
        "note": recipe.note,
        "recipe": recipe.model_dump(mode="json"),
        "versions": versions("trl", "peft", "vaderSentiment", "sacrebleu"),
        "pairs": len(study.pipeline.pairs),
        "scorer": study.pipeline.scorer.name,
        "targets": [target.name for target in recipe.targets],
        "sets": {name: read_set(stage.directory).card for name, stage in results.sets.items()},
        "measured": [
            {"set": name, "target": target} | figures(rows, threshold)
            for (name, target), rows in results.measured.items()
        ],
        "ratios": [_ratio(results, name) for name in recipe.against],
        "between_targets": _between(results, [target.name for target in recipe.targets], threshold),
        "reinforcement": {name: reinforcement_in(stage.directory) for name, stage in results.generators.items()},
        "mitigated": [
            {"set": study.own_set(name)} | mended_record(name, way, before, rows, use, threshold)
            for (name, way), (rows, use) in results.mitigated.items()
            for before in [_same(results.measured[study.own_set(name), name], rows)]
        ],
        "examples": {
            name: {
                "stage": f"stages/{results.places[called, name].directory.name}",
                "file": PROVOKED,
                "ids": _widest(rows),
            }
            for name in recipe.against
            for called in [REINFORCED.format(name)]
            for rows in [results.measured[called, name]]
        },
    }


def _ratio(results: Results, name: str) -> dict[str, Any]:
    """The reinforced generator beside the tuned one, on the target that it was reinforced against."""
    called = REINFORCED.format(name)
    bleu = [read_set(results.sets[one].directory).card["self_bleu"] for one in (called, LEARNT)]
    return {
        "target": name,
        **ratio(results.measured[called, name], results.measured[LEARNT, name]),
        "self_bleu_more": {order: bleu[0][order] - bleu[1][order] for order in bleu[0]},
    }


def _between(results: Results, targets: Sequence[str], threshold: float) -> list[dict[str, Any]]:
    """Every later target beside the first, on the same cases."""
    first, *others = targets
    sets = list(dict.fromkeys(name for name, _ in results.measured))
    return [
        {"set": name, "first": first, "second": other}
        | paired(results.measured[name, first], results.measured[name, other], threshold)
        for name in sets
        for other in others
    ]


def _same(before: Sequence[Answered], after: Sequence[Answered]) -> list[Answered]:
    asked = {row.case.id for row in after}
    return [row for row in before if row.case.id in asked]


def _widest(rows: Sequence[Answered]) -> list[str]:
    """Names of the cases of the widest gaps."""
    return [row.case.id for row in sorted(rows, key=lambda row: (-row.gap, row.case.id))[:EXAMPLES]]
