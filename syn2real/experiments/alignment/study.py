"""Safeguard and MergeAlign: which models are compared, how a merge is chosen, and what all of them do in the test."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from syn2real.experiments.alignment.material import Material, Part
from syn2real.experiments.alignment.needs import require
from syn2real.experiments.alignment.pipeline import REALIGN, Merge, Outcome, Pipeline
from syn2real.experiments.alignment.recipe import (
    ALIGNED,
    INTERPOLATED,
    START,
    TUNED,
    AlignmentRecipe,
    MergeAlignRecipe,
    SafeguardRecipe,
)
from syn2real.experiments.alignment.repeated import Repeated, difference
from syn2real.experiments.stages import Stage, Workspace
from syn2real.experiments.versions import versions
from syn2real.language.bias.answering import Answered
from syn2real.progress import say

Subject = Stage | Merge

# The merge core's method of each name, and which of its parameters λ is.
_METHODS = {"linear": ("prepost", "scale"), "slerp": ("slerp", "t"), "dare_linear": ("dare_linear", "scale")}


@dataclass(frozen=True)
class System:
    """Models of one kind, one for each seed, or one."""

    name: str
    subjects: tuple[Subject, ...]
    scale: float | None = None  # λ, γ or α of a merge


# What a method makes at a scale, and the scales among which validation chooses; none: there is nothing to choose.
Merged = tuple[Callable[[float], System], Sequence[float]]


@dataclass
class Measured:
    """What a system did in one part."""

    system: System
    outcomes: list[Outcome]
    answered: list[list[Answered]] = field(default_factory=list)  # of each model, where answers are compared

    @property
    def attack(self) -> Repeated:
        """Harmful answers to harmful requests."""
        return Repeated.over([outcome.harmful() for outcome in self.outcomes])

    @property
    def over_refusal(self) -> Repeated:
        """Harmless requests that were refused."""
        return Repeated.over([outcome.refused() for outcome in self.outcomes])

    @property
    def utility(self) -> Repeated:
        """How far the questions of the task were answered right."""
        return Repeated.over([outcome.marks for outcome in self.outcomes])

    @property
    def gender_gap(self) -> Repeated:
        """How far apart the answers to a sentence and to its twin are."""
        return Repeated.over([[row.gap for row in rows] for rows in self.answered], shares=False)

    @property
    def unparsed(self) -> tuple[int, int]:
        """Answers of all its models without a verdict, to harmful requests and to harmless ones."""
        counts = [outcome.unparsed() for outcome in self.outcomes]
        return sum(harmful for harmful, _ in counts), sum(harmless for _, harmless in counts)

    def aspects(self) -> dict[str, Repeated]:
        """What is compared, by name."""
        found = {"attack_success": self.attack, "over_refusal": self.over_refusal, "utility": self.utility}
        return found | ({"gender_gap": self.gender_gap} if self.answered else {})

    def each(self) -> Iterator["Measured"]:
        """Its models, one by one."""
        for place, outcome in enumerate(self.outcomes):
            yield Measured(self.system, [outcome], self.answered[place : place + 1])

    def record(self) -> dict[str, Any]:
        """As JSON; of the answers nothing but whether."""
        return {
            "system": self.system.name,
            "scale": self.system.scale,
            "models": len(self.system.subjects),
            **{name: found.record() for name, found in self.aspects().items()},
            **dict(zip(("unparsed", "unparsed_harmless"), self.unparsed, strict=True)),
            "by_seed": [{name: found.rate for name, found in one.aspects().items()} for one in self.each()],
        }


@dataclass
class Results:
    """All that was measured."""

    curves: dict[str, list[Measured]] = field(default_factory=dict)  # in validation, by method
    chosen: dict[str, float] = field(default_factory=dict)
    best: System | None = None  # of the chosen merges, by the same rule; None in a dry run
    test: list[Measured] = field(default_factory=list)


class Study:
    """A study of one recipe in one workspace."""

    def __init__(self, recipe: SafeguardRecipe | MergeAlignRecipe, workspace: Workspace) -> None:
        self.recipe = recipe
        self.pipeline = Pipeline(workspace, recipe, Material(recipe))
        self.material = self.pipeline.material

    def run(self) -> Results:
        """Everything. In a dry run nothing is made, and the results are empty."""
        recipe, dry = self.recipe, self.pipeline.workspace.dry
        require(recipe, self.material, look=dry)
        if recipe.bias is not None and not dry:
            say(f"gender gaps by {self.pipeline.scorer.name}")  # which fails now, not hours later, if it is missing
        if isinstance(recipe, SafeguardRecipe):
            fixed, merges = self._safeguard(recipe), self._safeguard_merges(recipe)
        else:
            fixed, merges = self._mergealign(recipe), self._mergealign_merges(recipe)
        results = Results()
        tuned = next(system for system in fixed if system.name == TUNED)
        before = self._measured(tuned, self.material.validation)
        last: list[System] = []
        picked: list[Measured] = []
        for name, (merge, scales) in merges.items():
            if not scales:
                last.append(merge(0.0))
                continue
            curve = [self._measured(merge(scale), self.material.validation) for scale in scales]
            results.curves[name] = curve
            known = all(measured.outcomes for measured in (before, *curve))  # but in a dry run
            results.chosen[name] = choose(curve, before, recipe) if known else scales[0]
            last.append(merge(results.chosen[name]))
            if known:
                taken = next(measured for measured in curve if measured.system.scale == results.chosen[name])
                unparsed, _ = taken.unparsed
                unknown = f"; without a verdict: {unparsed} of its answers to harmful requests" if unparsed else ""
                say(f"{name}: {results.chosen[name]:g} chosen in validation{unknown}")
                picked.append(taken)
        if picked:
            results.best = pick(picked, before, recipe).system
        elif not results.curves and not dry:  # Model Stock alone, which nothing chooses
            results.best = last[0]
        results.test = [self._tested(system) for system in (*fixed, *last)]
        return results

    def _measured(self, system: System, part: Part) -> Measured:
        outcomes = [self.pipeline.asked(subject, part, title) for subject, title in self._titled(system)]
        return Measured(system, [outcome for outcome in outcomes if outcome is not None])

    def _tested(self, system: System) -> Measured:
        measured = self._measured(system, self.material.test)
        if self.recipe.bias is not None:
            found = [self.pipeline.compared(subject, title) for subject, title in self._titled(system)]
            measured.answered = [rows for rows in found if rows is not None]
        return measured

    def _titled(self, system: System) -> Iterator[tuple[Subject, str]]:
        name = system.name if system.scale is None else f"{system.name} {system.scale:g}"
        several = len(system.subjects) > 1
        for subject, seed in zip(system.subjects, self.recipe.seeds, strict=False):
            yield subject, f"{name}, seed {seed}" if several else name

    def _tuned(self, start: Stage, tuning: Any, name: str) -> tuple[Stage, ...]:
        return tuple(
            self.pipeline.tuned_for_task(start, tuning, seed, f"{name}, seed {seed}") for seed in self.recipe.seeds
        )

    # ---- Safeguard ---------------------------------------------------------------------------------------------------

    def _safeguard(self, recipe: SafeguardRecipe) -> list[System]:
        pipeline = self.pipeline
        start = [System(START, (pipeline.start,))] if recipe.teach is not None else []
        systems = [*start, System(ALIGNED, (pipeline.taught,))]
        systems.append(System(TUNED, self._tuned(pipeline.taught, recipe.task.tuning, "tuned for the task")))
        for name in recipe.baselines:
            systems.append(System(name, self._tuned(pipeline.taught, recipe.baseline(name), name)))
        return systems

    def _safeguard_merges(self, recipe: SafeguardRecipe) -> dict[str, Merged]:
        base = self.pipeline.taught
        tuned = self._tuned(base, recipe.task.tuning, "tuned for the task")

        def merged(method: str) -> Merged:
            if method == "model_stock":
                return lambda _: System(method, (Merge(method, {}, base, tuned),)), ()
            if method == "realign":
                before = self.pipeline.model(recipe.before) if recipe.before else self.pipeline.start
                return lambda scale: System(
                    method, tuple(Merge(REALIGN, {"scale": scale}, before, (model, base)) for model in tuned), scale
                ), recipe.gammas
            name, parameter = _METHODS[method]
            return lambda scale: System(
                method, tuple(Merge(name, {parameter: scale}, base, (model,)) for model in tuned), scale
            ), recipe.lambdas

        return {method: merged(method) for method in recipe.methods}

    # ---- MergeAlign --------------------------------------------------------------------------------------------------

    def _mergealign(self, recipe: MergeAlignRecipe) -> list[System]:
        pipeline = self.pipeline
        experts = self._experts(recipe)
        systems = [System(START, (pipeline.start,)), System(ALIGNED, (self._aligned(recipe),)), System(TUNED, experts)]
        for name in recipe.preferences:
            preferences = pipeline.preferences()
            tuned = tuple(
                pipeline.tuned(expert, preferences, recipe.preference(name), seed, f"{name}, seed {seed}")
                for expert, seed in zip(experts, recipe.seeds, strict=False)
            )
            systems.append(System(name, tuned))
        return systems

    def _mergealign_merges(self, recipe: MergeAlignRecipe) -> dict[str, Merged]:
        aligned, experts, start = self._aligned(recipe), self._experts(recipe), self.pipeline.start

        def merged(alpha: float) -> System:
            found = (Merge("mergealign", {"alpha": alpha}, start, (expert, aligned)) for expert in experts)
            return System(INTERPOLATED, tuple(found), alpha)

        return {INTERPOLATED: (merged, recipe.alphas)}

    def _aligned(self, recipe: MergeAlignRecipe) -> Stage:
        return self.pipeline.model(recipe.aligned) if recipe.aligned else self.pipeline.taught

    def _experts(self, recipe: MergeAlignRecipe) -> tuple[Stage, ...]:
        if recipe.expert:
            return (self.pipeline.model(recipe.expert),)
        return self._tuned(self.pipeline.start, recipe.task.tuning, "the expert")


def choose(curve: Sequence[Measured], tuned: Measured, recipe: AlignmentRecipe) -> float:
    """The λ that `pick` picks."""
    return pick(curve, tuned, recipe).system.scale or 0.0


def pick(merges: Sequence[Measured], tuned: Measured, recipe: AlignmentRecipe) -> Measured:
    """The merge that the recipe's rule takes: of those that are safe enough beside the tuned model the best at the
    task, or of those that do the task well enough the safest. Of equals the one that is better at the other, then that
    of the smallest λ. Where none is good enough at what the rule asks for, the best at that."""

    def harm(measured: Measured) -> float:
        rate = measured.attack.rate
        return 1.0 if rate is None else rate  # answers that nobody could judge are not safe ones

    def missed(measured: Measured) -> float:
        return 1.0 - (measured.utility.rate or 0.0)

    if recipe.utility_loss is None:
        bounded, wanted, most = harm, missed, recipe.attack_share * harm(tuned)
    else:
        bounded, wanted, most = missed, harm, recipe.utility_loss + missed(tuned)
    # Shares are sums of thirds and the like: what is within the bound but for the last digits is within it.
    allowed = [measured for measured in merges if bounded(measured) <= most + 1e-9]
    first, second = (wanted, bounded) if allowed else (bounded, wanted)
    return min(allowed or merges, key=lambda one: (first(one), second(one), one.system.scale or 0.0))


def study_record(study: Study, results: Results) -> dict[str, Any]:
    """What a study found, as JSON: validation curves, what was chosen, and the test, each system beside the tuned."""
    recipe = study.recipe
    tuned = next(measured for measured in results.test if measured.system.name == TUNED)
    return {
        "study": recipe.study,
        "title": recipe.title,
        "note": recipe.note,
        "recipe": recipe.model_dump(mode="json"),
        "versions": versions("trl", "peft"),
        "asked": dict(_counts(study.material)),
        "curves": {name: [measured.record() for measured in curve] for name, curve in results.curves.items()},
        "chosen": results.chosen,
        "delivered": _delivered(results.best, recipe.seeds),
        "systems": [
            measured.record()
            | {
                "against_tuned": {
                    name: difference(found, tuned.aspects()[name]) for name, found in measured.aspects().items()
                }
            }
            for measured in results.test
        ],
    }


def _counts(material: Material) -> Iterator[tuple[str, int]]:
    for name, part in (("validation", material.validation), ("test", material.test)):
        yield f"{name}_harmful", sum(prompt.harmful for prompt in part.prompts)
        yield f"{name}_harmless", sum(not prompt.harmful for prompt in part.prompts)
        yield f"{name}_task", len(part.questions)
    if material.cases:
        yield "test_cases", len(material.cases)
    yield "task_train", len(material.task)
    yield "replayed", len(material.replayed)


def _delivered(best: System | None, seeds: Sequence[int]) -> dict[str, Any] | None:
    """Which merge is handed over: that of the first seed, where there is one for each."""
    if best is None:
        return None
    return {"system": best.name, "scale": best.scale, "seed": seeds[0] if best.name != "model_stock" else None}
