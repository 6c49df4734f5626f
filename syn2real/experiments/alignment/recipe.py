"""The recipes of `safeguard` and `mergealign`: models, tasks, requests, and how a merge is chosen."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

from syn2real.documents import Document, Strict, parse_values, set_key
from syn2real.errors import UserError
from syn2real.experiments.answers_recipe import AnswersRecipe
from syn2real.experiments.lora_recipe import LoraRecipe
from syn2real.language.tuning.settings import DEFAULTS, PREFERENCE, TuningSettings
from syn2real.language.utility.metric import Metric, metric_named
from syn2real.language.utility.task import VARIED
from syn2real.progress import say

Share = Annotated[float, Field(ge=0, le=1)]
JUDGE_FILES = ("phrases", "template")  # options of judges that name a file
Method = Literal["linear", "slerp", "dare_linear", "model_stock", "realign"]
# Of both studies' own systems the names, which results go by and reports translate.
START, ALIGNED, TUNED, INTERPOLATED = "model", "aligned", "tuned", "mergealign"
OWN_SYSTEMS = (START, ALIGNED, TUNED, *get_args(Method), INTERPOLATED)


class TuningRecipe(Strict):
    """How a model is tuned; see `syn2real.language.tuning.settings.TuningSettings`."""

    method: Literal["sft", "dpo", "orpo"] = "sft"
    lora: LoraRecipe | None = LoraRecipe()
    epochs: Annotated[float, Field(gt=0)] = DEFAULTS.epochs
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = DEFAULTS.batch_size
    weight_decay: Annotated[float, Field(ge=0)] = DEFAULTS.weight_decay
    dropout: Annotated[float, Field(ge=0, lt=1)] = DEFAULTS.dropout
    beta: Annotated[float, Field(gt=0)] = DEFAULTS.beta
    cut_off: Annotated[int, Field(ge=8)] = DEFAULTS.cut_off

    def settings(self, seed: int) -> TuningSettings:
        """As a tuning takes them."""
        given = self.model_dump(exclude={"lora"})
        lora = self.lora.model_dump() if self.lora else None
        return TuningSettings(**given, lora=lora, seed=seed)  # type: ignore[arg-type]


def _by_replies(tuning: TuningRecipe) -> TuningRecipe:
    if tuning.method in PREFERENCE:
        raise ValueError(
            f"method {tuning.method} learns from preferences, and here are requests with replies; take sft"
        )
    return tuning


# How a model is tuned where what it learns from are replies.
RepliesTuning = Annotated[TuningRecipe, AfterValidator(_by_replies)]


class TeachingRecipe(Strict):
    """How a model that hardly refuses is aligned first: harmful requests with refusals, and harmless ones with its own
    answers, so that it learns to tell them apart and little else."""

    requests: tuple[Path, ...]  # harmful; those that are asked in the evaluation are left out
    refusals: Path  # one a line, drawn for each request
    instructions: tuple[Path, ...]  # harmless
    count: Annotated[int, Field(ge=1)] | None = None  # at most so many requests, and as many instructions
    answer_tokens: Annotated[int, Field(ge=1)] = 64
    tuning: RepliesTuning = TuningRecipe()


class ReplayRecipe(Strict):
    """Harmless requests that are learnt beside the task with the answers of the recipe's model, so that what comes out
    still talks: one that learnt nothing but labels answers everything with a label, which neither refuses nor helps."""

    instructions: Annotated[tuple[Path, ...], Field(min_length=1)]  # those that are asked or taught are left out
    count: Annotated[int, Field(ge=1)] = 100
    answer_tokens: Annotated[int, Field(ge=1)] = 64


class TaskRecipe(Strict):
    """What the model is fine-tuned for, and how its answers are marked."""

    # Examples as `tune` reads them, of one turn; a TSV whose last column is the sentence and the others its label; or a
    # folder of texts, one sentence a line, whose names are the labels.
    examples: Path
    # Questions that are asked, as `utility` reads them; None: some of the examples, which then are not learnt.
    asked: Path | None = None
    question: str = "{sentence}"
    columns: tuple[str, ...] = ()  # of a TSV: those that make the label; none: all but the last
    train: Annotated[int, Field(ge=1)] = 600
    max_tokens: Annotated[int, Field(ge=1)] = 12
    metric: str = "exact"  # of `syn2real.language.utility`: exact, rouge, bertscore, pass_at_k, or one's own
    options: Annotated[dict[str, Any], Field(default_factory=dict)]  # of the metric
    temperature: Annotated[float, Field(gt=0)] = VARIED  # of several answers to a question, where the metric needs them
    tuning: RepliesTuning = TuningRecipe()
    replay: ReplayRecipe | None = None

    @model_validator(mode="after")
    def _marks_shares(self) -> "TaskRecipe":
        try:
            metric = self.marking()
        except UserError as error:
            raise ValueError(str(error)) from error
        if metric.unit != "share" or not metric.samples:
            raise ValueError(f"metric: a study takes one that marks answers within 0 and 1, not {self.metric}")
        return self

    def marking(self) -> Metric:
        """What marks the answers."""
        return metric_named(self.metric, **self.options)


class SafetyRecipe(Strict):
    """What is asked, and who judges."""

    harmful: tuple[Path, ...]  # files of requests; what they say of harmless ones is heeded
    harmless: tuple[Path, ...] = ()  # likewise: of those that a file says are harmful none is asked
    skip: tuple[str, ...] = ("copyright",)  # categories that are not asked
    system: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 48
    judge: str = "refusal"
    judge_options: Annotated[dict[str, Any], Field(default_factory=dict)]

    @field_validator("judge_options")
    @classmethod
    def _files_are_paths(cls, options: dict[str, Any]) -> dict[str, Any]:
        files = {name: value for name, value in options.items() if name in JUDGE_FILES and value is not None}
        for name, value in files.items():
            if not isinstance(value, str | Path):
                raise ValueError(f"{name} is a file, not {value!r}")
        return options | {name: Path(value) for name, value in files.items()}


class PartRecipe(Strict):
    """How much of each is asked in validation, which chooses, or in the test, which reports."""

    harmful: Annotated[int, Field(ge=1)]  # of each file
    harmless: Annotated[int, Field(ge=0)]
    task: Annotated[int, Field(ge=1)]


class GenderGapRecipe(AnswersRecipe):
    """What tells whether a model answers otherwise when only the gender changes: asked in the test, and chooses
    nothing."""

    # Sentences as `syn2real bias measure` reads them, or a folder that `syn2real bias provoke` made.
    cases: Path
    count: Annotated[int, Field(ge=1)] = 100  # at most so many


class AlignmentRecipe(Strict):
    """What both studies say."""

    title: str = ""
    note: str = ""
    model: str = "smollm2-135m"
    # A model whose tokenizer, chat template and generation settings all others get: pre-trained ones cannot chat.
    template: str | None = None
    teach: TeachingRecipe | None = None  # None: the model is aligned as it is
    task: TaskRecipe
    safety: SafetyRecipe
    bias: GenderGapRecipe | None = None
    validation: PartRecipe = PartRecipe(harmful=15, harmless=15, task=40)
    test: PartRecipe = PartRecipe(harmful=40, harmless=60, task=150)
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (42, 1024, 48763)
    # The rule, one of two. Of the merges with at most this share of the fine-tuned model's attack success in
    # validation, the one that does the task best; where there is none, the one with the least attack success.
    attack_share: Share = 0.5
    # Or: of the merges that do at most so much less of the task than the fine-tuned model in validation, the one with
    # the least attack success; where there is none, the one that does the task best.
    utility_loss: Share | None = None
    draw: int = 0  # which requests and examples are drawn

    @model_validator(mode="after")
    def _asks_something(self) -> "AlignmentRecipe":
        if not self.safety.harmful:
            raise ValueError("safety.harmful: name at least one file of requests")
        return self

    @model_validator(mode="after")
    def _has_one_rule(self) -> "AlignmentRecipe":
        if self.utility_loss is not None and "attack_share" in self.model_fields_set:
            raise ValueError("utility_loss: is a rule in place of attack_share; leave one out")
        return self


class SafeguardRecipe(AlignmentRecipe):
    """Safeguard (arXiv 2412.19512): an aligned model, fine-tuned for a task, merged with itself before that."""

    study: Literal["safeguard"]
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("linear", "slerp", "dare_linear", "model_stock")
    lambdas: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.2, 0.4, 0.6, 0.8)
    # How much of what aligning changed `realign` adds to the fine-tuned model, and the model before it was aligned;
    # None: ``model``, where ``teach`` aligned it.
    gammas: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.5, 0.75, 1.0)
    before: str | None = None
    # Fine-tunings that should do less harm by themselves, by name, each with what differs from ``task.tuning``.
    baselines: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _methods_have_their_models(self) -> "SafeguardRecipe":
        if "model_stock" in self.methods and len(self.seeds) < 2:
            raise ValueError("methods: model_stock averages fine-tunings of several seeds; give two or drop it")
        if "realign" in self.methods and (self.teach is None) == (self.before is None):
            raise ValueError("methods: realign needs the model before it was aligned: `before`, or `teach` alone")
        for name in self.baselines:
            with _named("baselines", name):
                _by_replies(self.baseline(name))
        return self

    def baseline(self, name: str) -> TuningRecipe:
        """How a baseline is tuned."""
        return parse_values(TuningRecipe, self.task.tuning.model_dump() | self.baselines[name])


class MergeAlignRecipe(AlignmentRecipe):
    """MergeAlign (arXiv 2411.06824): a domain expert and an aligned model of one pre-trained model, interpolated."""

    study: Literal["mergealign"]
    aligned: str | None = None  # a model that is aligned already; None: ``teach`` makes one of ``model``
    expert: str | None = None  # a domain expert that is there already; None: ``task`` makes one of ``model``
    alphas: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.3, 0.4, 0.5, 0.6, 0.7)
    # The expert tuned by preferences for refusals, in place of merging.
    preferences: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]
    preference_data: Path | None = None  # as `tune` reads preferences; None: made of what ``teach`` names

    @model_validator(mode="after")
    def _has_an_aligned_model(self) -> "MergeAlignRecipe":
        if (self.aligned is None) == (self.teach is None):
            raise ValueError("aligned: name an aligned model, or say with `teach` how one is made")
        for name in self.preferences:
            with _named("preferences", name):
                if self.preference(name).method not in PREFERENCE:
                    raise ValueError(f"method is {' or '.join(PREFERENCE)}")
        if self.preferences and self.teach is None and self.preference_data is None:
            raise ValueError("preferences: need preference_data, or `teach`, of whose refusals they are made")
        return self

    def preference(self, name: str) -> TuningRecipe:
        """How a baseline is tuned."""
        return parse_values(TuningRecipe, self.preferences[name])


@contextmanager
def _named(section: str, name: str) -> Iterator[None]:
    """Say of which system of the recipe's own something is wrong; its name must be no system's of the study."""
    try:
        if name in OWN_SYSTEMS:
            raise ValueError("is what the study calls a system of its own; choose another name")
        yield
    except (UserError, ValueError) as error:
        raise ValueError(f"{section}.{name}: {error}") from error


def load_alignment(
    document: Document, *, quick: bool = False, absent: bool = False
) -> SafeguardRecipe | MergeAlignRecipe:
    """A recipe of either kind; see `settled`."""
    kind = SafeguardRecipe if document.content.get("study") == "safeguard" else MergeAlignRecipe
    recipe: SafeguardRecipe | MergeAlignRecipe = settled(document, kind, quick=quick, absent=absent)
    return recipe


def settled(document: Document, kind: type[Strict], *, quick: bool = False, absent: bool = False) -> Any:
    """A recipe of a kind; relative paths in it are relative to its file.

    Where a file that it names is not there, what stands under ``otherwise``, section by section, takes the place of
    what stands above. With ``quick`` so does what stands under that name, key by key. Keys that were set from outside
    stay as they were set. Raises `UserError` with file and line, and for a file that is missing all the same, unless
    files may be ``absent``.
    """
    content = deepcopy(document.content)
    otherwise, small = content.pop("otherwise", None), content.pop("quick", None)
    if quick:
        if not small:
            raise UserError(f"{document.path}: has no quick settings; leave --quick out")
        for key, value in small.items():
            if key not in document.overridden:
                set_key(content, key, value)
    recipe = _parsed(document, content, kind)
    missing = missing_files(recipe)
    if missing and otherwise:
        say(f"{missing[0]} is not here: what the recipe says under `otherwise` is used instead")
        for section, values in otherwise.items():
            given = {key for key in values if f"{section}.{key}" in document.overridden}
            kept = {key: value for key, value in values.items() if key not in given}
            content[section] = (content.get(section) or {}) | kept
        recipe = _parsed(document, content, kind)
        missing = missing_files(recipe)
    if missing and not absent:
        raise UserError(f"{missing[0]}: no such file; correct the path, or pass another with --set")
    return recipe


def _parsed(document: Document, content: dict[str, Any], kind: type[Strict]) -> Any:
    recipe = replace(document, content=content).parse(kind)
    return _placed(recipe, document.path.parent)


def missing_files(part: Any) -> list[Path]:
    """The paths in a recipe, or a part of one, at which there is nothing."""
    if isinstance(part, Path):
        return [] if part.exists() else [part]
    if isinstance(part, tuple):
        return [path for item in part for path in missing_files(item)]
    if isinstance(part, dict):
        return missing_files(tuple(part.values()))
    return [path for _, value in part for path in missing_files(value)] if isinstance(part, BaseModel) else []


def _placed(part: Any, base: Path) -> Any:
    """A part of a recipe with every path relative to ``base``."""
    if isinstance(part, Path):
        return base / part
    if isinstance(part, tuple):
        return tuple(_placed(item, base) for item in part)
    if isinstance(part, dict):
        return {name: _placed(value, base) for name, value in part.items()}
    if isinstance(part, BaseModel):
        return part.model_copy(update={name: _placed(value, base) for name, value in part})
    return part
