"""Running a grid: every system in every cell, with what cells have in common made once.

A cell is a target under one condition (base model, voices, number of sources, seed). A cell that fails is noted, and
the others go on. Whatever is finished is found again by its hash, so the same command goes on after an interruption.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from syn2real.errors import UserError
from syn2real.experiments.comparison import Heard
from syn2real.experiments.grid_recipe import LABELLED, ORACLE, SEARCHED, GridRecipe, System
from syn2real.experiments.pipeline import Blend, Pipeline, Scale, require_voices
from syn2real.experiments.protocol import Fold, Roles
from syn2real.experiments.recipe import Sum, SynthesisRecipe
from syn2real.experiments.results import CurvePoint, at_end, best_scale
from syn2real.experiments.scales import Choice, Errors, by_others, choose, choose_groups, choose_sum
from syn2real.experiments.stages import Stage, Workspace
from syn2real.experiments.sums import tried
from syn2real.experiments.systems import Workshop
from syn2real.merge.parameters import LAYERS
from syn2real.progress import say
from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import SIZES, located, require_language
from syn2real.speech.scoring import Scores, pairs_of, score

if TYPE_CHECKING:
    from syn2real.speech.transcription import Window

BlendOf = Callable[[str, Sequence[str]], Blend]  # of a target and source domains


@dataclass(frozen=True)
class Condition:
    """What the cells of one table have in common, and the seed."""

    model: str
    engines: str
    synthesis: SynthesisRecipe
    sources: int | None  # how many source domains; None for all
    draw: int  # which random choice of them
    seed: int
    repetition: int  # the seed; with several draws of sources a count of seeds and draws

    @property
    def label(self) -> str:
        """Voices, and the number of source domains where that varies."""
        return self.engines if self.sources is None else f"{self.engines}, {self.sources} source domains"


@dataclass
class CellReport:
    """How a cell went."""

    target: str
    model: str
    engines: str
    seed: int
    status: str = "done"
    error: str | None = None
    sources: tuple[str, ...] = ()  # the domains that the vector was made of

    def fail(self, error: Exception, what: str = "") -> None:
        """Note why it, or ``what`` of it, did not come to an end."""
        self.status, problem = "failed", f"{what}{_words(error)}"
        if self.error is None:
            self.error = problem
        elif problem not in self.error:  # what is heard of other domains is one trouble, of every system
            self.error += f"; {problem}"


@dataclass(frozen=True)
class Chosen:
    """The λ of a system in a cell, and the errors on the target at every λ, which chose nothing."""

    target: str
    condition: Condition
    system: System
    choice: Choice
    target_curve: tuple[CurvePoint, ...]

    @property
    def oracle(self) -> float:
        """The best λ on the test itself."""
        return best_scale(self.target_curve)


@dataclass
class Outcome:
    """Everything a grid heard and chose."""

    heard: list[Heard] = field(default_factory=list)
    chosen: list[Chosen] = field(default_factory=list)
    cells: list[CellReport] = field(default_factory=list)

    @property
    def failed(self) -> list[CellReport]:
        """Cells that did not come to an end."""
        return [cell for cell in self.cells if cell.status != "done"]


class Grid:
    """The cells of one recipe in one workspace."""

    def __init__(self, recipe: GridRecipe, workspace: Workspace) -> None:
        self.recipe = recipe
        self.workspace = workspace
        self.roles = Roles(recipe)
        for synthesis in recipe.engine_sets.values():
            require_voices(synthesis, recipe.language)
        for name in set(recipe.training_of) - set(recipe.models) - set(SIZES):
            say(f"training_of: {name!r} is none of the models ({', '.join(recipe.models)}) and changes nothing")
        if any(system.endswith("augmented") for system in recipe.systems):
            from syn2real.speech.augmentation import Augmentation

            Augmentation.from_spec(recipe.augmentation)  # a name that is none is found before anything is trained
        self._pipelines = {}
        for name in recipe.models:
            directory, key = located(name, look=workspace.dry)
            require_language(directory, recipe.language)
            self._pipelines[name] = Pipeline(workspace, Stage("base", key, directory), recipe.language)

    def run(self) -> Outcome:
        """Every cell. In a dry run nothing is made, and the outcome is empty of scores."""
        outcome = Outcome()
        for condition in self.conditions():
            for target in self.roles.targets:
                cell = CellReport(target, condition.model, condition.label, condition.repetition)
                outcome.cells.append(cell)
                drawn = f", draw {condition.draw}" if self.recipe.sources.draws > 1 else ""
                say(f"{condition.model}, {condition.label}, seed {condition.seed}{drawn}: target {target}")
                try:
                    fold = self.roles.fold(target, condition.sources, condition.draw)
                    cell.sources = fold.sources
                except Exception as error:  # one cell's trouble is not the others'
                    self._failed(cell, error)
                    continue
                for system in self.recipe.systems:
                    try:
                        heard, chosen = self._system(condition, fold, system, cell)
                    except Exception as error:  # nor one system's
                        self._failed(cell, error, f"{system}: ")
                    else:
                        outcome.heard += heard
                        outcome.chosen += chosen
        return outcome

    def _failed(self, cell: CellReport, error: Exception, what: str = "") -> None:
        if self.workspace.dry:
            raise error
        cell.fail(error, what)
        say(f"failed: {what}{_words(error)}")

    def conditions(self) -> Iterator[Condition]:
        """Models × voices × numbers of sources × seeds and draws."""
        recipe = self.recipe
        for model in recipe.models:
            for engines, synthesis in recipe.engine_sets.items():
                for count in recipe.counts:
                    draws = recipe.sources.draws
                    for number, (seed, draw) in enumerate(product(recipe.seeds, range(draws))):
                        spoken = synthesis.model_copy(update={"seed": synthesis.seed + seed})
                        repetition = seed if draws == 1 else number
                        yield Condition(model, engines, spoken, count, draw, seed, repetition)

    def workshop(self, condition: Condition) -> Workshop:
        """What makes the models of a condition."""
        training = self.recipe.training_for(condition.model)
        seeded = training.model_copy(update={"seed": training.seed + condition.seed})
        pipeline = self._pipelines[condition.model]
        return Workshop(pipeline, self.roles, self.recipe, condition.synthesis, seeded)

    # ---- one cell ------------------------------------------------------------------------------------------------

    def _system(
        self, condition: Condition, fold: Fold, system: System, cell: CellReport
    ) -> tuple[list[Heard], list[Chosen]]:
        workshop, target = self.workshop(condition), fold.target
        best = self._best_sum(workshop, fold) if system == "best-sum" else None
        way: System = (best and best.way) or system
        blend_of: BlendOf = partial(workshop.blend, way)
        blend = blend_of(target, fold.sources)
        scales: dict[str, Scale] = {system: 0.0}
        chosen, labelled = [], None
        if blend.difference is not None:
            choice = best or self._choice(workshop, fold, system, blend_of)
            title, test = f"{system} on {target}", self.roles.test(target)
            tested = {
                scale: self.scores(workshop.pipeline, blend, scale, test, "short", f"{title}, λ={scale:g}")
                for scale in self._grid_of(way)
            }
            curve = (CurvePoint(scale, *_totals([scores], title)) for scale, scores in tested.items())
            found = Chosen(target, condition, system, choice, tuple(curve))
            chosen.append(found)
            scales[system] = choice.scale
            if system not in SEARCHED:  # an oracle of these would need a search on the test
                scales[f"{system}{ORACLE}"] = found.oracle
                labelled = by_others({scale: scores for scale, scores in tested.items() if scores is not None})
        rows = [self._heard(workshop, condition, cell, name, blend, scale) for name, scale in scales.items()]
        heard = [one for row in rows for one in row]
        if labelled is not None:
            place = (target, condition.model, condition.label, condition.repetition)
            heard.append(Heard(f"{system}{LABELLED}", *place, workshop.pipeline.window, labelled))
        return heard, chosen

    def _choice(self, workshop: Workshop, fold: Fold, system: System, blend_of: BlendOf) -> Choice:
        choice = self.choose(workshop.pipeline, fold, blend_of, self._grid_of(system), system)
        self._say(fold.target, system, choice)
        if system != "syn2real-groups":
            return choice
        tried = self._errors(workshop.pipeline, *self._trials(fold, blend_of, system))
        named = self.recipe.scale.groups
        groups = workshop.pipeline.layers if named == LAYERS else named
        return choose_groups(tried, choice, groups, self.recipe.scale.group_factors)

    def _best_sum(self, workshop: Workshop, fold: Fold) -> Choice:
        """Which sum of the three models, with its λ; chosen as λ is."""

        def errors_of(way: Sum) -> Errors:
            return self._errors(workshop.pipeline, *self._trials(fold, partial(workshop.blend, way), way))

        choice = self._settled(choose_sum(errors_of, self._grid_of, *self._by(fold)))
        self._say(fold.target, "best-sum", choice)
        return choice

    def _say(self, target: str, system: System, choice: Choice) -> None:
        way = choice.way or system
        if choice.number is not None and choice.curve and not self.workspace.dry:
            end = at_end(way, choice.number, choice.curve, self.recipe.scale.key_of(way))
            named = system if choice.way is None else f"{system}: {choice.way}"
            say(f"{target}, {named}: λ = {choice.number:g}{end}")

    def choose(self, pipeline: Pipeline, fold: Fold, blend_of: BlendOf, grid: Sequence[float], title: str) -> Choice:
        """λ as the recipe wants it chosen; no recording of the target is heard."""
        recipe = self.recipe.scale
        if recipe.by == "fixed" and recipe.fixed is not None:
            return Choice(recipe.fixed, "fixed", (), ())
        errors = self._errors(pipeline, *self._trials(fold, blend_of, title))
        return self._settled(choose(errors, grid, *self._by(fold)))

    def _by(self, fold: Fold) -> tuple[str, Sequence[str]]:
        """How λ is chosen, and the domains that it is chosen on."""
        by = self.recipe.scale.by
        return by, fold.proxies if by == "proxies" else fold.sources

    def _settled(self, choice: Choice) -> Choice:
        """In a dry run, where nothing was counted, a λ that moves: then all that may be heard is planned."""
        return replace(choice, scale=1.0) if self.workspace.dry else choice

    def _trials(self, fold: Fold, blend_of: BlendOf, title: str) -> tuple[list[tuple[Blend, Corpus]], str]:
        """What chooses λ, and its title: each proxy as the target, with its model and vector, on its real recordings;
        or the target's own model on recordings of the source."""
        if self.recipe.scale.by == "proxies":
            if not fold.proxies:
                raise UserError(f"{fold.target}: no proxy is left to choose λ on; name more domains or a fixed λ")
            parts = [(blend_of(proxy, fold.sources_for(proxy)), self.roles.dev(proxy)) for proxy in fold.proxies]
            return parts, f"{title}, proxies of {fold.target}"
        recordings = self.roles.source_dev(fold.sources)
        return [(blend_of(fold.target, fold.sources), recordings)], f"{title}, source dev for {fold.target}"

    def _errors(self, pipeline: Pipeline, trials: Sequence[tuple[Blend, Corpus]], title: str) -> Errors:
        """Errors and words summed over trials, as a function of λ."""

        def errors(scale: Scale) -> tuple[int, int]:
            shown = f"λ={scale:g}" if isinstance(scale, int | float) else "λ by group"
            found = [self.scores(pipeline, b, scale, corpus, "short", f"{title}, {shown}") for b, corpus in trials]
            return _totals(found, title)

        return errors

    def _heard(
        self, workshop: Workshop, condition: Condition, cell: CellReport, name: str, blend: Blend, scale: Scale
    ) -> list[Heard]:
        rows = []
        pipeline, target = workshop.pipeline, cell.target
        windows: list[Window] = ["short"]
        if name in self.recipe.evaluation.full_window and pipeline.windowed:
            windows.append("full")
        for window in windows:
            # Untouched Whisper loops in short windows, so it is heard at 30 s for both tables.
            used: Window = "full" if name == "zero-shot" and pipeline.windowed else window
            scores = self.scores(pipeline, blend, scale, self.roles.test(target), used, name)
            elsewhere = None
            if self.recipe.evaluation.elsewhere and window == "short":
                try:
                    others = self.roles.elsewhere(target)
                    elsewhere = self.scores(pipeline, blend, scale, others, used, f"{name}, other domains")
                except Exception as error:  # what is heard of the target stands without it
                    self._failed(cell, error, "other domains: ")
            if scores is not None:
                if not scores.total.words:
                    raise UserError(f"{target}: no test recording has a word after {scores.normaliser}")
                rows.append(
                    Heard(
                        system=name,
                        target=target,
                        model=condition.model,
                        engines=condition.label,
                        seed=condition.repetition,
                        window=window if window == "full" else pipeline.window,
                        scores=scores,
                        elsewhere=elsewhere,
                        scale=float(scale) if isinstance(scale, int | float) and blend.difference else None,
                    )
                )
        return rows

    def scores(
        self, pipeline: Pipeline, blend: Blend, scale: Scale, corpus: Corpus, window: "Window", title: str
    ) -> Scores | None:
        """Scores of a model on a corpus; None in a dry run."""
        texts = pipeline.hear(blend, scale, corpus, window, title)
        if self.workspace.dry:
            return None
        return score(pairs_of(corpus, texts), self.recipe.evaluation.normaliser)

    def _grid_of(self, system: System) -> Sequence[float]:
        recipe = self.recipe.scale
        return recipe.domains_grid if system == "syn2real-domains" else tried(system, recipe.grid)


def _totals(found: Sequence[Scores | None], title: str) -> tuple[int, int]:
    """Errors and words, summed. Raises `UserError` where no reference has a word."""
    totals = [scores.total for scores in found if scores is not None]
    words = sum(t.words for t in totals)
    if totals and not words:
        raise UserError(f"{title}: no reference has a word, so no λ is better than another")
    return sum(t.errors for t in totals), words or 1  # none in a dry run


def _words(error: Exception) -> str:
    """An error in one line; one that is no `UserError` with its kind, for it is a fault of ours."""
    text = " ".join(str(error).split())  # whole: a `UserError` says what to do at its end
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def curve_record(curve: Sequence[CurvePoint]) -> list[dict[str, Any]]:
    """A curve as JSON."""
    return [asdict(point) for point in curve]
