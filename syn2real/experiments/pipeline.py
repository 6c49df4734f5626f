"""The steps of a speech study, each a stage: speak, tune, hear, and write a blend of models to disk.

A stage is keyed by what goes into it and by nothing of the role it plays, so that two parts of a study which need the
same model share it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from syn2real.experiments.recipe import WORDING, CheckRecipe, SynthesisRecipe, TrainingRecipe
from syn2real.experiments.stages import Stage, Workspace
from syn2real.hashing import sha256_json
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.merge import Checkpoint, TaskVector, Term, write
from syn2real.merge.groups import layers_in
from syn2real.merge.parameters import matches
from syn2real.speech.checking import Limits
from syn2real.speech.checking.judges import CheckSettings
from syn2real.speech.corpus import MANIFEST, Corpus, Sentence
from syn2real.speech.engines import ENGINES, by_content, configured
from syn2real.speech.engines.options import voices_by_content
from syn2real.speech.pretrained import (
    WHISPER,
    model_key,
    parameters_by_name,
    require_language,
    require_recogniser,
    resolve_model,
)
from syn2real.speech.synthesis import Cast, SynthesisSettings, read_rejections, synthesize
from syn2real.speech.synthesis.wording import worded
from syn2real.speech.training import TrainingSettings

if TYPE_CHECKING:
    from torch import Tensor

    from syn2real.speech.augmentation import Augmentation
    from syn2real.speech.transcription import Window

SYNTHESIS_VERSION = 2
TRAINING_VERSION = 2
TRANSCRIPTION_VERSION = 4
MERGE_VERSION = 2

# What a clip costs in seconds of one CPU core, for a dry run's estimate: measured with Whisper tiny.en and base on
# clips of 3 to 4 s. Training and hearing go by the number of weights, speaking by the engine.
TRAINING = 7e-9
HEARING = {"short": 3.5e-9, "full": 32e-9}

HYPOTHESES = "hypotheses.jsonl"
MODEL = "model"

Scale = float | Mapping[str, float]  # λ, or one for each group of tensors; a tensor takes its first group's


@dataclass(frozen=True)
class Clips:
    """Recordings known by key and number, which need not exist before they are loaded."""

    key: str
    count: int
    load: Callable[[], Corpus]
    rejected: Callable[[], int] = lambda: 0  # renditions that no voice could speak

    @classmethod
    def of(cls, corpus: Corpus) -> "Clips":
        """Recordings that exist."""
        return cls(corpus.fingerprint, len(corpus), lambda: corpus)

    @classmethod
    def join(cls, parts: Sequence["Clips"]) -> "Clips":
        """Several, one after the other."""
        if len(parts) == 1:
            return parts[0]
        key = sha256_json([part.key for part in parts])
        return cls(
            key,
            sum(p.count for p in parts),
            lambda: Corpus.of(u for part in parts for u in part.load()),
            lambda: sum(part.rejected() for part in parts),
        )


class Addend(Protocol):
    """What may be added to a model: a vector, and the key that stands for it."""

    @property
    def key(self) -> str:
        """Equal for equal vectors."""

    def vector(self) -> TaskVector:
        """The merge core's vector."""


@dataclass(frozen=True)
class Difference:
    """A task vector over stages: Σ factor·θ, as (factor, model) terms. Nothing is read on making one."""

    terms: tuple[tuple[float, Stage], ...]

    @classmethod
    def between(cls, a: Stage, b: Stage) -> "Difference":
        """θ_a − θ_b."""
        return cls(((1.0, a), (-1.0, b)))

    @classmethod
    def mean(cls, vectors: Sequence["Difference"]) -> "Difference":
        """The mean of several."""
        return cls(tuple((factor / len(vectors), stage) for vector in vectors for factor, stage in vector.terms))

    @property
    def key(self) -> str:
        """Equal for equal sums, in whatever order they were written."""
        total: dict[str, list[float]] = {}
        for factor, stage in self.terms:
            total.setdefault(stage.key, []).append(factor)
        return sha256_json(sorted((name, math.fsum(factors)) for name, factors in total.items()))

    def vector(self) -> TaskVector:
        """The merge core's vector."""
        return TaskVector(Term(factor, Checkpoint.open(stage.directory)) for factor, stage in self.terms)


@dataclass(frozen=True)
class Blend:
    """A model, and the vector that may be added to it: θ + λτ. Without a vector it is the model as it stands."""

    anchor: Stage
    difference: Addend | None = None

    def key(self, scale: Scale) -> str:
        """What hypotheses of this model are keyed by; at λ = 0 it is the plain model's key."""
        if self.difference is None or not _moves(scale):
            return self.anchor.key
        # Groups in their order, which decides the λ of a tensor that is in several.
        stated = [[name, value] for name, value in scale.items()] if isinstance(scale, Mapping) else float(scale)
        return sha256_json([self.anchor.key, self.difference.key, stated])


@dataclass(frozen=True)
class Pipeline:
    """The steps in one workspace, from one base model and in one language."""

    workspace: Workspace
    base: Stage
    language: str

    @classmethod
    def of(cls, workspace: Workspace, base: Path, language: str) -> "Pipeline":
        """A pipeline from the model in ``base``, a Hugging Face directory."""
        return cls(workspace, Stage("base", model_key(base), base), language)

    def speak(self, sentences: Sequence[Sentence], recipe: SynthesisRecipe, renditions: int, title: str) -> Clips:
        """Synthetic speech of the sentences, each spoken ``renditions`` times."""
        settings = synthesis_settings(recipe, renditions, self.language)
        stated = recipe.model_dump(exclude={"options", "check", *WORDING}) | {
            "renditions": renditions,
            "language": self.language,
        }
        stated = {key: value for key, value in stated.items() if not key.endswith("_renditions")}
        if recipe.options_used:
            stated["options"] = {name: by_content(given) for name, given in recipe.options_used.items()}
        stated["engines"] = list(recipe.engines.items())  # a list, for their order decides the draws

        inputs = {"sentences": sha256_json([[s.id, s.text, s.domain] for s in sentences])}
        said = [
            [s.id, s.text, s.label, s.written] for s in worded(sentences, settings.text_rule) if s.written is not None
        ]
        if files := voices_by_content(recipe.voices):
            inputs["voices"] = sha256_json(files)
        if said:  # text that is spoken and labelled as it is written needs no more
            inputs["spoken"] = sha256_json(said)
        if recipe.check is not None:
            stated["check"] = recipe.check.model_dump(exclude={"recogniser"})
            if recipe.check.by == "recogniser":
                inputs["recogniser"] = self._heard_by(recipe.check.recogniser)

        def make(directory: Path) -> None:
            synthesize(list(sentences), settings, directory, judges=self._check(recipe.check).judges())

        count = len(sentences) * renditions
        stage = self.workspace.stage(
            "speech",
            make,
            version=SYNTHESIS_VERSION,
            settings=stated,
            inputs=inputs,
            title=title,
            amount=count,
            seconds=count * effort_of(recipe),
        )
        return Clips(
            stage.key,
            count,
            lambda: Corpus.load(stage.directory / MANIFEST),
            lambda: len(read_rejections(stage.directory)),
        )

    def tune(
        self,
        start: Stage,
        clips: Clips,
        recipe: TrainingRecipe,
        title: str,
        *,
        augmentation: "Augmentation | None" = None,
        dev: Clips | None = None,
    ) -> Stage:
        """``start`` fine-tuned on the clips; ``dev``, where given, stops it early and chooses the checkpoint."""
        settings = recipe.model_dump(exclude_none=True)  # what is not asked for is no part of the key
        if settings["precision"] == "auto":
            from syn2real.training_state import best_precision

            settings["precision"] = best_precision()

        def make(directory: Path) -> None:
            from syn2real.speech.finetuning import finetune

            finetune(
                start.directory,
                clips.load(),
                directory,
                TrainingSettings(**settings),
                dev=dev.load() if dev is not None else None,
                language=self.language,
                title=f"training {title}",
                augmentation=augmentation,
            )

        inputs = {"model": start.key, "clips": clips.key}
        if dev is not None:
            inputs["dev"] = dev.key
        if augmentation is not None:
            inputs["augmentation"] = augmentation.fingerprint
        stated = settings | {"language": self.language}
        return self.workspace.stage(
            "tuned",
            make,
            version=TRAINING_VERSION,
            settings=stated,
            inputs=inputs,
            title=title,
            amount=clips.count * recipe.epochs,
            seconds=clips.count * recipe.epochs * TRAINING * self._parameters,
        )

    def hear(self, blend: Blend, scale: Scale, corpus: Corpus, window: "Window", title: str) -> dict[str, str]:
        """Hypotheses by utterance id of θ + λτ, added in memory by the merge core; none in a dry run."""

        def make(directory: Path) -> None:
            from syn2real.speech.recogniser import load_recogniser, pick_device
            from syn2real.speech.transcription import TranscriptionSettings, transcribe

            recogniser = load_recogniser(blend.anchor.directory, self.language, pick_device())
            if blend.difference is not None and _moves(scale):
                recogniser.replace_weights(self._shifted(blend.anchor, blend.difference, scale))
            texts = transcribe(recogniser, corpus, TranscriptionSettings(window=window), title=f"hearing {title}")
            write_jsonl(directory / HYPOTHESES, ({"id": key, "pred_text": text} for key, text in texts.items()))

        stage = self.workspace.stage(
            "hypotheses",
            make,
            version=TRANSCRIPTION_VERSION,
            settings={"window": window, "language": self.language},
            inputs={"model": blend.key(scale), "corpus": corpus.fingerprint},
            title=title,
            amount=len(corpus),
            seconds=len(corpus) * HEARING["short" if window == "short" else "full"] * self._parameters,
        )
        if self.workspace.dry:
            return {}
        return {row["id"]: row["pred_text"] for _, row in read_jsonl(stage.directory / HYPOTHESES)}

    def write(self, blend: Blend, scale: float) -> Stage:
        """θ + λτ as a Hugging Face directory, which lies in ``MODEL`` of the stage's."""

        def make(directory: Path) -> None:
            merged = Checkpoint.open(blend.anchor.directory) + scale * _require(blend.difference).vector()
            write(merged, directory / MODEL, overwrite=True)

        key = blend.key(scale)
        stage = self.workspace.stage("merged", make, version=MERGE_VERSION, settings={}, inputs={"blend": key})
        return Stage("merged", key, stage.directory / MODEL)

    def _heard_by(self, recogniser: str | None) -> str:
        """What stands for a recogniser in a key: the contents of one that is here, else its name, which is not looked
        for before it is needed."""
        if recogniser is None:
            return self.base.key
        return model_key(Path(recogniser)) if Path(recogniser).is_dir() else recogniser

    def _check(self, recipe: CheckRecipe | None) -> CheckSettings:
        recipe = recipe or CheckRecipe()
        recogniser = None
        if recipe.by == "recogniser":
            recogniser = resolve_model(recipe.recogniser) if recipe.recogniser else self.base.directory
            require_language(recogniser, self.language)
        return CheckSettings(recipe.by, recogniser, Limits.of(recipe.limits))

    @cached_property
    def windowed(self) -> bool:
        """Whether the model hears in windows, as Whisper does; of one that is not here, as in a dry run, that is
        taken for granted."""
        directory = self.base.directory
        return not directory.is_dir() or require_recogniser(directory) == WHISPER

    @property
    def window(self) -> str:
        """What the records call the window that the models are tuned for: to a CTC model a clip is as long as it is."""
        return "short" if self.windowed else "whole"

    @cached_property
    def _parameters(self) -> float:
        if not self.base.directory.is_dir():  # in a dry run
            return parameters_by_name(str(self.base.directory))
        return Checkpoint.open(self.base.directory).parameters

    @property
    def layers(self) -> list[str]:
        """What the names of each layer's tensors begin with; nothing in a dry run whose model is not there."""
        return layers_in(Checkpoint.open(self.base.directory)) if self.base.directory.is_dir() else []

    def _shifted(self, anchor: Stage, difference: Addend, scale: Scale) -> "Callable[[str], Tensor]":
        """Reads θ + λτ tensor by tensor, each from the merge core with the λ that is its own."""
        start, vector = Checkpoint.open(anchor.directory), difference.vector()
        merged = {value: start + value * vector for value in values_of(scale)}
        return lambda name: merged[scale_of(scale, name)].tensor(name)


def scale_of(scale: Scale, name: str) -> float:
    """The λ of a tensor: that of the first group, or other filter of `syn2real.merge.parameters`, that it belongs to;
    else that of ``other``."""
    if not isinstance(scale, Mapping):
        return float(scale)
    rest = float(scale.get("other", 0.0))
    return next((float(value) for key, value in scale.items() if key != "other" and matches(key, name)), rest)


def values_of(scale: Scale) -> set[float]:
    """Every λ that a tensor may have."""
    return {float(value) for value in scale.values()} | {0.0} if isinstance(scale, Mapping) else {float(scale)}


def synthesis_settings(recipe: SynthesisRecipe, renditions: int, language: str) -> SynthesisSettings:
    """A recipe's synthesis as the synthesiser takes it."""
    return SynthesisSettings(
        engines=recipe.engines,
        language=language,
        voices=tuple(recipe.voices),
        options=recipe.options_used,
        renditions=renditions,
        commercial_only=recipe.commercial_only,
        seed=recipe.seed,
        **recipe.wording,
    )


def require_voices(recipe: SynthesisRecipe, language: str) -> None:
    """Raise `UserError` for an engine, option or voice that is unknown or unfit, before anything is trained. No weights
    are looked for, so that a study can be planned where it will not run."""
    for name, given in (recipe.options or {}).items():
        configured(name, given)
    Cast.choose(synthesis_settings(recipe, 1, language))


def effort_of(recipe: SynthesisRecipe) -> float:
    """Seconds of one CPU core that a sentence takes its engines, roughly and on average."""
    speaking = {voice.partition(":")[0] for voice in recipe.voices} or set(recipe.engines)
    weights = {name: recipe.engines.get(name, 1.0) for name in speaking}
    return sum(weight * ENGINES.get(name)().effort for name, weight in weights.items()) / sum(weights.values())


def _moves(scale: Scale) -> bool:
    return any(values_of(scale))


def _require(difference: Addend | None) -> Addend:
    if difference is None:
        raise ValueError("this model has no vector to add")
    return difference
