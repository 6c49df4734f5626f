"""Recipes: a study in YAML, validated whole before anything runs. Every complaint names file and line."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, Field, model_validator

from syn2real.documents import Document, Strict, parse_values
from syn2real.errors import UserError
from syn2real.experiments.lora_recipe import LoraRecipe
from syn2real.speech.checking.limits import Limits
from syn2real.speech.engines.options import options_from, path_from, voice_from
from syn2real.speech.normalisation import require_known
from syn2real.speech.training import DEFAULTS, LONGEST, Precision
from syn2real.speech.verbalisation import Label, Style

WORDING = ("verbalise", "label", "style")
Tuned = Literal["source-synthetic", "source-real", "target-synthetic", "syn2real"]
Lambda = Annotated[float, Field(ge=-2, le=4)]
Lines = dict[str, str | list[str]]  # those whose fields have this value, or any of these
Sum = Literal["syn2real", "text-on-real", "average"]  # of the same three models; see `syn2real.experiments.sums`
SUMS: tuple[Sum, ...] = get_args(Sum)
Wanted = Literal[Sum, "choose"]


def _known_normaliser(name: str) -> str:
    try:
        return require_known(name)
    except UserError as error:
        raise ValueError(str(error)) from error


NormaliserName = Annotated[str, AfterValidator(_known_normaliser)]


class CorpusRecipe(Strict):
    """The real recordings, with domains. ``train`` and ``test`` say which lines are which, by their fields."""

    manifest: Path
    train: Lines = {}
    test: Lines = {}


class CheckRecipe(Strict):
    """How clips are checked while they are spoken; see `syn2real.speech.checking`."""

    by: Literal["signal", "recogniser", "none"] = "signal"
    recogniser: str | None = None  # a model; by default the one that the study tunes
    limits: dict[str, float] = {}

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """``check: recogniser`` says as much as ``check: {by: recogniser}``."""
        return {"by": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _sensible(self) -> "CheckRecipe":
        if self.recogniser is not None and self.by != "recogniser":
            raise ValueError("recogniser: is heard only with by: recogniser")
        try:
            Limits.of(self.limits)
        except UserError as error:
            raise ValueError(str(error)) from error
        return self


class SynthesisRecipe(Strict):
    """Who speaks the text: engines with weights, and how often each sentence is spoken."""

    engines: dict[str, Annotated[float, Field(gt=0)]] = {"espeak": 1.0}
    voices: list[str] = []
    options: dict[str, dict[str, Any]] | None = None  # of engines, by name: {speecht5: {model: ./speecht5_tts}}
    source_renditions: Annotated[int, Field(ge=1)] = 1
    target_renditions: Annotated[int, Field(ge=1)] = 1
    commercial_only: bool = False
    seed: int = 0
    # How the text is spoken and labelled; see `syn2real.speech.verbalisation.TextRule`. Keys know by the words spoken.
    verbalise: bool | None = None
    label: Label | None = None
    style: Style | None = None
    check: CheckRecipe | None = None  # by default by their samples; what is not given is no part of a stage's key

    @property
    def wording(self) -> dict[str, Any]:
        """What is given of how the text is spoken and labelled."""
        return {name: getattr(self, name) for name in WORDING if getattr(self, name) is not None}

    @property
    def options_used(self) -> dict[str, dict[str, Any]]:
        """The options of those engines that speak."""
        speaking = {voice.partition(":")[0] for voice in self.voices} or set(self.engines)
        return {name: given for name, given in (self.options or {}).items() if name in speaking}

    def placed(self, base: Path) -> "SynthesisRecipe":
        """The same, with paths of options, voices and the recogniser that checks relative to ``base``."""
        changes: dict[str, Any] = {}
        if self.options is not None:
            changes["options"] = options_from(self.options, base)
        if self.voices:
            changes["voices"] = type(self.voices)(voice_from(voice, base) for voice in self.voices)
        if self.check is not None:
            changes["check"] = self.check.model_copy(update={"recogniser": path_from(self.check.recogniser, base)})
        return self.model_copy(update=changes)


class TrainingRecipe(Strict):
    """Fine-tuning, the same for every model of the study."""

    epochs: Annotated[float, Field(gt=0)] = DEFAULTS.epochs
    learning_rate: Annotated[float, Field(gt=0)] = DEFAULTS.learning_rate
    batch_size: Annotated[int, Field(ge=1)] = DEFAULTS.batch_size
    warmup: Annotated[float, Field(ge=0, lt=1)] = DEFAULTS.warmup
    weight_decay: Annotated[float, Field(ge=0)] = DEFAULTS.weight_decay
    full_windows: Annotated[float, Field(ge=0, le=1)] = DEFAULTS.full_windows
    precision: Precision = DEFAULTS.precision
    checkpoint_steps: Annotated[int, Field(ge=1)] = DEFAULTS.checkpoint_steps
    seed: int = DEFAULTS.seed
    # Options: what is not given is no part of a stage's key.
    patience: Annotated[int, Field(ge=1)] | None = None
    lora: LoraRecipe | None = None
    freeze: tuple[str, ...] | None = None  # groups of weights that stay as they are, such as `encoder`
    gradient_checkpointing: bool | None = None
    spec_augment: bool | None = None
    batch_seconds: Annotated[float, Field(ge=LONGEST)] | None = None
    accumulation: Annotated[int, Field(ge=1)] | None = None
    train_only: tuple[str, ...] | None = None  # groups outside of which nothing is trained, such as `norm`
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    compile: bool | None = None


class ScoringRecipe(Strict):
    """The normaliser of both sides, and the bootstrap."""

    normaliser: NormaliserName = "basic"
    draws: Annotated[int, Field(ge=100)] = 10_000
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class EvaluationRecipe(ScoringRecipe):
    """How systems are scored."""

    # Tuned models that are also scored padded to 30 s, as plain transformers would run them.
    # `syn2real` is the adapted model, whichever sum it is.
    full_window: list[Tuned] = ["source-synthetic", "source-real", "target-synthetic", "syn2real"]
    strict: bool = False  # also: synthesise half of the target's sentences, test on recordings of the other half


class StudyRecipe(Strict):
    """What every study of one model says: the model, the voices, the training, and how λ and systems are judged."""

    study: str
    title: str = "SYN2REAL"
    note: str = ""  # printed in the report: what this data can and cannot show
    model: str
    language: str = "en"
    synthesis: SynthesisRecipe = SynthesisRecipe()
    training: TrainingRecipe = TrainingRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    scale: Lambda | None = None  # a λ to use as it is; by default it is chosen on the proxies
    lambdas: list[Lambda] = [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.3]
    target: list[str] = []  # domains whose real speech is in no vector and chooses no λ
    test_limit: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _starts_without(self) -> "StudyRecipe":
        if 0.0 not in self.lambdas:
            raise ValueError("lambdas: must contain 0, the model to which nothing is added")
        return self


class SourceRecipe(StudyRecipe):
    """A study that makes a vector from real speech of source domains."""

    corpus: CorpusRecipe
    sources: list[str] = []  # all other domains when empty
    held_out: list[str] = []  # domains that choose λ and take part in no vector
    # Source domains that take a turn as the target, with a vector made from the others. When neither these nor
    # `held_out` are named: the three largest source domains.
    rotate: list[str] = []
    target_text: Path | None = None  # default: the sentences of the target's training lines
    source_limit: Annotated[int, Field(ge=2)] | None = None  # at most so many source clips, drawn by seed

    @model_validator(mode="after")
    def _roles_apart(self) -> "SourceRecipe":
        for name, others in (("held_out", self.held_out), ("rotate", self.rotate), ("sources", self.sources)):
            both = set(others) & set(self.target)
            if both:
                raise ValueError(f"{name}: {min(both)!r} is the target, whose real speech may not be used")
        if set(self.held_out) & set(self.rotate):
            raise ValueError("rotate: a domain is either held out of the vector or takes turns in it, not both")
        if self.sources and not set(self.rotate) <= set(self.sources):
            raise ValueError("rotate: these must be source domains")
        if set(self.held_out) & set(self.sources):
            raise ValueError("held_out: a held-out domain cannot be a source")
        return self


Source = TypeVar("Source", bound=SourceRecipe)


class Recipe(SourceRecipe):
    """A SYN2REAL study: arXiv 2406.02925, with λ chosen without any real speech of the target."""

    study: Literal["syn2real"] = "syn2real"
    # Of the three models. `choose`: whichever the proxies like best, where domains play the target; else SYN2REAL.
    sum: Wanted = "syn2real"

    @model_validator(mode="after")
    def _has_target(self) -> "Recipe":
        if not self.target:
            raise ValueError("target: name at least one domain")
        return self

    @model_validator(mode="after")
    def _scale_of_one(self) -> "Recipe":
        if self.scale is not None and self.sum == "choose":
            raise ValueError("sum: `choose` chooses λ too; leave `scale` out, or name the sum that it is of")
        return self

    @model_validator(mode="after")
    def _average_between(self) -> "Recipe":
        if self.sum == "average":
            if self.scale is not None and not 0 <= self.scale <= 1:
                raise ValueError(f"scale: an average lies between its two models, from 0 to 1; not {self.scale:g}")
            if self.scale is None and not any(0 < scale <= 1 for scale in self.lambdas):
                raise ValueError("lambdas: an average lies between its two models; give some above 0 and up to 1")
        return self

    @property
    def sums(self) -> tuple[Sum, ...]:
        """Those that the adapted model may be."""
        return SUMS if self.sum == "choose" else (self.sum,)


def load_recipe(path: Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe; relative paths in it are relative to the recipe.

    ``overrides`` maps dotted keys to YAML text (``{"training.epochs": "1"}``). Raises `UserError` with file and line.
    """
    return load_source(path, Recipe, overrides)


def load_source(path: Path, kind: type[Source], overrides: dict[str, Any] | None = None) -> Source:
    """Read a recipe of a kind that makes a vector, as `load_recipe` does."""
    recipe, base = Document.load(path, overrides).parse(kind), path.parent.absolute()
    corpus = recipe.corpus.model_copy(update={"manifest": base / recipe.corpus.manifest})
    text = base / recipe.target_text if recipe.target_text else None
    synthesis = recipe.synthesis.placed(base)
    return recipe.model_copy(update={"corpus": corpus, "target_text": text, "synthesis": synthesis})


def parse_recipe(**values: Any) -> Recipe:
    """A recipe from values given in Python or by options. Raises `UserError` for one that is out of bounds."""
    return parse_values(Recipe, values)
