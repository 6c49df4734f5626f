"""The recipe of a grid: the systems of the SYN2REAL paper, and others, over domains, voices, models and seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from syn2real.documents import Document, Strict
from syn2real.experiments.lora_recipe import LoraRecipe
from syn2real.experiments.recipe import (
    SUMS,
    CorpusRecipe,
    Lambda,
    Lines,
    ScoringRecipe,
    SynthesisRecipe,
    TrainingRecipe,
)
from syn2real.merge.groups import GROUPS
from syn2real.merge.parameters import LAYERS
from syn2real.speech.engines.options import path_from

System = Literal[
    "zero-shot",
    "target-real",
    "target-synthetic",
    "source-real",
    "source-synthetic",
    "source-mixed",
    "mixed-target-synthetic",
    "target-synthetic-augmented",
    "average",
    "syn2real",
    "syn2real-mixed",
    "syn2real-domains",
    "syn2real-engines",
    "syn2real-augmented",
    "syn2real-groups",
    "syn2real-lora",
    "text-on-real",
    "best-sum",
]
ORACLE = " (oracle)"  # ends the name of a system whose λ was chosen on the test itself
LABELLED = " (labelled)"  # of one whose λ was chosen, for each speaker of the test, by the labels of the others
INFORMED = (ORACLE, LABELLED)  # both need labelled speech of the target
# The paper's baselines and its method from the pre-trained model; what a recipe measures unless it says otherwise.
STANDARD: tuple[System, ...] = (
    "zero-shot",
    "source-synthetic",
    "source-real",
    "target-synthetic",
    "syn2real",
)
SEARCHED: tuple[System, ...] = ("syn2real-groups", "best-sum")  # their λ is found by more than one curve
ChosenBy = Literal["proxies", "source-dev", "fixed"]
Selection = Literal["none", "source-dev", "target-dev"]


class GridCorpusRecipe(CorpusRecipe):
    """The real recordings. ``train``, ``dev`` and ``test`` say by their fields which lines are which."""

    dev: Lines | None = None  # speakers who are in neither of the others; proxies are heard on it


class SourcesRecipe(Strict):
    """Which domains make the vector, and how many of their clips."""

    domains: tuple[str, ...] = ()  # all others than the target's when empty
    # So many of them drawn at random, ``draws`` times; a list makes a condition of each.
    count: tuple[Annotated[int, Field(ge=1)], ...] = ()
    draws: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[int, Field(ge=2)] | None = None  # clips over all source domains
    balanced: bool = False  # the same number of clips from every domain
    seed: int = 0


class ScaleRecipe(Strict):
    """How λ is chosen, and from what."""

    by: ChosenBy = "proxies"
    fixed: Lambda | None = None
    grid: tuple[Lambda, ...] = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.3)
    # A mean of vectors that were each trained on a part is shorter than one trained on all.
    domains_grid: tuple[Annotated[float, Field(ge=-2, le=20)], ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
    # Of `syn2real-groups`: a tensor takes the λ of the first that it belongs to. `layers`: each layer has its own.
    groups: Literal["layers"] | tuple[str, ...] = ("cross_attention", "encoder", "decoder")
    group_factors: tuple[float, ...] = (0.0, 0.5, 1.5, 2.0)  # of λ, tried for one group after the other
    proxies: Annotated[int, Field(ge=1)] | None = None  # at most so many, those with the most recordings

    @model_validator(mode="after")
    def _consistent(self) -> "ScaleRecipe":
        if (self.by == "fixed") != (self.fixed is not None):
            raise ValueError("`fixed` gives the value where `by: fixed`, and only there")
        if 0.0 not in self.grid or 0.0 not in self.domains_grid:
            raise ValueError("the grids must contain 0, the model to which nothing is added")
        for group in self.groups if self.groups != LAYERS else ():
            # A part of a name is a filter too, but not a word alone: it may be a group's, misspelt.
            if group not in GROUPS and not any(sign in group for sign in "*?[/."):
                known = f"known are {', '.join(GROUPS)}"
                raise ValueError(f"unknown group {group!r}; {known}, globs, and parts of names: decoder.layers.0.")
        return self

    def key_of(self, system: System) -> str:
        """Under which key the λ stand that are tried of a system."""
        return "lambda.domains_grid" if system == "syn2real-domains" else "lambda.grid"


class GridEvaluationRecipe(ScoringRecipe):
    """How systems are scored."""

    # Systems that are also heard padded to 30 s, as plain transformers would run them.
    full_window: tuple[System, ...] = ("zero-shot", "target-synthetic", "syn2real")
    elsewhere: Annotated[int, Field(ge=0)] = 0  # so many test clips of other domains, to see what is forgotten
    test_limit: Annotated[int, Field(ge=2)] | None = None  # test clips of each target


class AdaptersRecipe(LoraRecipe):
    """Adapters of a vector, and how fast they learn."""

    rate: Annotated[float, Field(gt=0)] = 10.0  # times the learning rate: few weights must move much further

    @property
    def settings(self) -> LoraRecipe:
        """The adapters alone, as a training takes them."""
        return LoraRecipe(**self.model_dump(exclude={"rate"}))


class GridRecipe(Strict):
    """A grid of cells, targets × models × engines × seeds, and the systems compared in each."""

    study: Literal["grid"]
    title: str = "SYN2REAL"
    note: str = ""
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    language: str = "en"
    corpus: GridCorpusRecipe
    targets: tuple[str, ...] = ()  # every domain in turn when empty
    # Domains left out of the vectors together: each is a target, for which the others of its fold choose λ. Without
    # folds one domain is left out at a time and source domains take turns as its proxies, with vectors of their own.
    folds: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    sources: SourcesRecipe = SourcesRecipe()
    synthesis: SynthesisRecipe = SynthesisRecipe()
    # Sets of voices to compare, by name, each with its weights.
    engines: Annotated[dict[str, dict[str, Annotated[float, Field(gt=0)]]], Field(default_factory=dict)]
    # Ways of speaking to compare, by name, each with what differs from ``synthesis``: {thrice: {target_renditions: 3}}
    syntheses: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]
    training: TrainingRecipe = TrainingRecipe()
    # Of one model, where it needs other settings: {whisper-base: {learning_rate: 1.0e-5}}
    training_of: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]
    continuation: Annotated[float, Field(gt=0, le=1)] = 0.1  # of the learning rate, from source-mixed to the target
    selection: Selection = "none"  # recordings that stop a training early and choose its checkpoint
    augmentation: str | list[dict[str, Any]] = "broad"
    scale: Annotated[ScaleRecipe, Field(alias="lambda")] = ScaleRecipe()
    systems: Annotated[tuple[System, ...], Field(min_length=1)] = STANDARD
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    evaluation: GridEvaluationRecipe = GridEvaluationRecipe()
    keep_duplicates: bool = False  # keep target sentences that are also tested
    lora: AdaptersRecipe = AdaptersRecipe()  # of `syn2real-lora`, whose vector comes from models tuned so
    # Vectors to compare with each other: of every "domain", of every "engine", by a field such as "gender", or "lora":
    # the vector of all sources tuned in full and by adapters.
    vectors: tuple[str, ...] = ()
    transfer: bool = False  # apply each domain's vector (with several sets of voices, each set's) to every other target
    allow_leak: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "GridRecipe":
        for name, values in self._lists.items():
            if twice := [value for place, value in enumerate(values) if value in values[:place]]:
                raise ValueError(f"{name}: {twice[0]!r} is named twice")
        if self.leaks and not self.allow_leak:
            raise ValueError(f"{self.leaks[0]}; say `allow_leak: true` if that is meant, and the report will be marked")
        flat = [name for fold in self.folds for name in fold]
        if len(set(flat)) < len(flat):
            raise ValueError("folds: a domain may be in one fold only")
        if self.folds and not set(self.targets) <= set(flat):
            raise ValueError("targets: each must be in a fold")
        if self.folds and self.sources.count:
            raise ValueError("sources.count: with folds, the sources are all other folds; drop one of the two")
        if self.corpus.dev is None:
            # On clips that trained a model, that model looks better than it is.
            if self.selection != "none":
                raise ValueError(
                    f"selection: {self.selection} needs recordings that train nothing; say which: corpus.dev"
                )
            if self.scale.by == "source-dev":
                raise ValueError("lambda: source-dev needs recordings that train nothing; say which: corpus.dev")
        if self.evaluation.elsewhere == 1:
            raise ValueError("evaluation.elsewhere: an interval needs at least 2 clips")
        searching = [name for name in self.systems if name in SEARCHED]
        if self.scale.by == "fixed" and searching:
            raise ValueError(f"systems: {searching[0]} searches its λ, which `lambda.by: fixed` rules out; drop one")
        if self.synthesis.voices and (
            self.engines or {"syn2real-engines"} & {*self.systems} or "engine" in self.vectors
        ):
            raise ValueError("synthesis.voices: with named voices engines cannot be compared; drop one of the two")
        for name in self.training_of:
            self.training_for(name)
        if twice_named := sorted({*self.engines} & {*self.syntheses}):
            raise ValueError(f"syntheses: {twice_named[0]!r} is also a set of `engines`; give each its own name")
        _ = self.engine_sets  # each must be valid
        return self

    @property
    def _lists(self) -> dict[str, Sequence[Any]]:
        """What would be counted twice if it were named twice."""
        return {
            "models": self.models,
            "targets": self.targets,
            "sources.domains": self.sources.domains,
            "sources.count": self.sources.count,
            "lambda.grid": self.scale.grid,
            "lambda.domains_grid": self.scale.domains_grid,
            "systems": self.systems,
            "seeds": self.seeds,
        }

    @property
    def chooses(self) -> bool:
        """Whether a system has a λ that is to be chosen."""
        moved = [name for name in self.systems if name.startswith("syn2real") or name in (*SUMS, "best-sum")]
        return bool(moved) and self.scale.by != "fixed"

    @property
    def leaks(self) -> list[str]:
        """What of this recipe a domain of which there is only text could not do."""
        found = []
        if self.selection == "target-dev":
            found.append("selection: target-dev chooses checkpoints on real speech of the target")
        return found

    def training_for(self, model: str) -> TrainingRecipe:
        """The training settings of one of the models."""
        return TrainingRecipe.model_validate(self.training.model_dump() | self.training_of.get(model, {}))

    @property
    def engine_sets(self) -> dict[str, SynthesisRecipe]:
        """The voices of each condition."""
        if not self.engines and not self.syntheses:
            return {"+".join(self.synthesis.engines): self.synthesis}
        differing = {name: {"engines": weights} for name, weights in self.engines.items()} | self.syntheses
        stated = self.synthesis.model_dump(exclude_unset=True)
        return {name: SynthesisRecipe.model_validate(stated | given) for name, given in differing.items()}

    @property
    def counts(self) -> Sequence[int | None]:
        """How many source domains in each condition; None for all."""
        return self.sources.count or [None]


def uninformed(name: str) -> str:
    """The system of which this is one with a λ chosen on labels; any other's own name."""
    for ending in INFORMED:
        name = name.removesuffix(ending)
    return name


def load_grid(path: Path, overrides: dict[str, Any] | None = None) -> GridRecipe:
    """Read the recipe of a grid; relative paths in it are relative to the recipe. Raises `UserError` with file and
    line."""
    recipe, base = Document.load(path, overrides).parse(GridRecipe), path.parent.absolute()
    corpus = recipe.corpus.model_copy(update={"manifest": base / recipe.corpus.manifest})
    augmentation = recipe.augmentation
    if not isinstance(augmentation, str):
        augmentation = [{name: path_from(value, base) for name, value in step.items()} for step in augmentation]
    spoken = {"synthesis": recipe.synthesis.placed(base), "syntheses": _placed(recipe.syntheses, base)}
    return recipe.model_copy(update={"corpus": corpus, "augmentation": augmentation, **spoken})


def _placed(given: dict[str, dict[str, Any]], base: Path) -> dict[str, dict[str, Any]]:
    """What is stated of ways of speaking, with paths relative to ``base``."""
    made = {name: SynthesisRecipe.model_validate(stated).placed(base) for name, stated in given.items()}
    return {name: synthesis.model_dump(exclude_unset=True) for name, synthesis in made.items()}
