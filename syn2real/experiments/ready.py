"""Adapting with a published vector: the target's text, the vector, and no real speech at hand."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from syn2real.documents import parse_values
from syn2real.errors import UserError
from syn2real.experiments.adaptation import Study
from syn2real.experiments.bench import Bench
from syn2real.experiments.making import Chosen
from syn2real.experiments.material import require_intervals
from syn2real.experiments.ready_vector import ReadyVector, VectorCard
from syn2real.experiments.recipe import EvaluationRecipe, StudyRecipe, Sum, SynthesisRecipe
from syn2real.experiments.results import CurvePoint, SourceData
from syn2real.experiments.stages import Workspace
from syn2real.progress import say
from syn2real.speech.corpus import Corpus, distinct, read_sentences
from syn2real.speech.engines import ENGINES, missing_engines
from syn2real.speech.engines.options import Options


class ReadyRecipe(StudyRecipe):
    """An adaptation with a published vector, as it is recorded with its results."""

    study: Literal["ready"] = "ready"
    vector: str  # a folder, or org/name on the hub
    force: bool = False  # the base model may be another than the vector's


class Ready:
    """A published vector as the origin of a study's vector."""

    def __init__(self, ready: ReadyVector, scale: float | None) -> None:
        self.ready = ready
        self.scale = scale

    def vector(self) -> Chosen:
        """The stored vector, with the λ given or the card's."""
        recommended = self.ready.card.scale
        if self.scale is not None:
            return Chosen(self.ready.stored, self.scale, [], {})
        say(f"λ = {recommended.recommended:g}, as the vector's card recommends")
        curves: dict[Sum, list[CurvePoint]] = {"syn2real": recommended.curve}
        return Chosen(self.ready.stored, recommended.recommended, recommended.chosen_on, curves)

    def data(self) -> SourceData:
        """What the card says of the speech that made it."""
        card = self.ready.card
        parts = [speech for speech in card.corpora if speech.use == "vector"]
        return SourceData(
            source_clips=sum(speech.clips for speech in parts),
            source_seconds=round(3600 * sum(speech.hours for speech in parts), 1),
            source_domains=sorted({domain for speech in parts for domain in speech.domains}),
            source_speakers=sum(speech.speakers for speech in parts),
            source_licences=sorted({name for speech in card.corpora for name in speech.licences}),
            source_voice_licences=sorted({f"{s.engine}: {name}" for s in card.synthesis.spoken for name in s.licences}),
        )

    def record(self) -> dict[str, Any]:
        """Which vector it is, and under which licences."""
        card = self.ready.card
        return {
            "name": card.name,
            "reference": self.ready.reference,
            "sha256": card.storage.sha256,
            "base": card.base.model_dump(mode="json"),
            "engines": card.engines,
            "corpora": [speech.name for speech in card.corpora if speech.use == "vector"],
            "licences": [asdict(licence) for licence in card.licences],
            "commercial_ok": not card.obstacles,
            "commercial_obstacles": card.obstacles,
        }


def ready_study(recipe: ReadyRecipe, ready: ReadyVector, text: Path, test: Path | None, workspace: Workspace) -> Study:
    """The study of an adaptation with a published vector. Raises `UserError` for a vector that does not belong to the
    model, unless forced, before anything is made."""
    tested = Corpus.load(test) if test else Corpus.of(())
    sentences = distinct(read_sentences(text, text.stem))
    require_intervals(recipe, tested, sentences)
    bench = Bench(recipe, workspace)
    ready.require_base(bench.pipeline.base.directory, recipe.model, force=recipe.force)
    return Study(bench, Ready(ready, recipe.scale), sentences, tested)


def ready_recipe(
    ready: ReadyVector,
    text: Path,
    *,
    model: str | None = None,
    language: str | None = None,
    engines: Mapping[str, float] | None = None,
    options: Options | None = None,
    renditions: int | None = None,
    training: Mapping[str, Any] | None = None,
    scale: float | None = None,
    force: bool = False,
) -> ReadyRecipe:
    """The card's own settings, save where others are given. Raises `UserError` for a language that is not the card's,
    unless forced, and where none of the card's engines is installed."""
    card = ready.card
    if language is not None and language != card.language and not force:
        raise UserError(f"--language {language}: the vector was made for {card.language!r}; drop it, or pass --force")
    synthesis = voices_of(card, engines, options)
    if renditions is not None:
        synthesis = synthesis.model_copy(update={"target_renditions": renditions})
    given = {name: value for name, value in (training or {}).items() if value is not None}
    model = model or card.base.name
    lambdas = sorted({0.0, *(point.scale for point in card.scale.curve)})
    return parse_values(
        ReadyRecipe,
        {
            "title": f"{Path(model).name} adapted to {text.stem}",
            "model": model,
            "language": language or card.language,
            "target": [text.stem],
            "vector": ready.reference,
            "force": force,
            "synthesis": synthesis.model_dump(),
            "training": card.training.model_dump(exclude_none=True) | given,
            "evaluation": EvaluationRecipe(normaliser=card.scale.normaliser).model_dump(),
            "scale": scale,
            **({"lambdas": lambdas} if len(lambdas) > 1 else {}),
        },
    )


def voices_of(
    card: VectorCard, engines: Mapping[str, float] | None = None, options: Options | None = None
) -> SynthesisRecipe:
    """Who is to speak: ``engines`` where given, else those of the card that are installed here.

    A vector carries the gap between its own voices and real ones; other engines have another, so their use is told.
    ``options`` of engines are the user's alone: a card comes from a stranger, and an option may name a program to run.
    Nor is a recogniser fetched on a card's word: where clips are checked by one, the model that is tuned hears them.
    Raises `UserError` where none of the card's engines can run here.
    """
    given = {name: dict(values) for name, values in (options or {}).items()}
    made, check = card.synthesis.recipe, card.synthesis.recipe.check
    if check is not None and check.recogniser is not None:
        say(f"the vector's clips were checked by {check.recogniser}; here the model that is tuned checks them")
        check = check.model_copy(update={"recogniser": None})
    made = made.model_copy(update={"options": given or None, "check": check})
    advice = f"the vector was made with {', '.join(card.engines)}, and carries the gap of those voices"
    if engines is not None:
        if set(engines) != set(card.engines):
            say(f"speaking with {', '.join(engines)}; {advice}; recommended: {_options(made, card.engines)}")
        return made.model_copy(update={"engines": dict(engines), "voices": []})
    missing = {name: f"unknown engine {name!r}" for name in card.engines if name not in ENGINES.names()}
    missing |= missing_engines([name for name in card.engines if name not in missing], given)
    # In the recipe's order, which decides the draws.
    here = [
        name for name in dict.fromkeys([*made.engines, *card.engines]) if name in card.engines and name not in missing
    ]
    reasons = "; ".join(missing.values())
    if not here:
        raise UserError(f"none of the vector's engines can run here: {reasons}; or choose another with --engine")
    if missing:
        say(f"speaking with {', '.join(here)} only; {advice}; recommended: install the others ({reasons})")
    for name, values in (card.synthesis.recipe.options or {}).items():
        if name in here and name not in given:
            say(f"the vector's {name} was set up with {values}, which a card cannot do here; give --option if it fits")
    voices = [voice for voice in made.voices if voice.partition(":")[0] in here]
    weights = {name: made.engines.get(name, 1.0) for name in here}
    return made.model_copy(update={"engines": weights, "voices": voices})


def _options(made: SynthesisRecipe, names: list[str]) -> str:
    return " ".join(f"--engine {name}={made.engines.get(name, 1.0):g}" for name in names)
