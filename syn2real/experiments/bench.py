"""What every study of one model does with its recipe's settings: tune on spoken text, hear models, score them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syn2real.experiments.pipeline import Blend, Clips, Pipeline, require_voices
from syn2real.experiments.recipe import SUMS, StudyRecipe, Sum
from syn2real.experiments.results import CurvePoint, SystemResult, measure
from syn2real.experiments.stages import Stage, Workspace
from syn2real.experiments.sums import tried
from syn2real.speech.corpus import Corpus, Sentence, Utterance
from syn2real.speech.pretrained import require_language, resolve_model
from syn2real.speech.scoring import Scores, pairs_of, score

if TYPE_CHECKING:
    from syn2real.speech.transcription import Window

Heard = tuple[Blend, float]  # a model, and the λ it is heard with
BASELINE = "target-synthetic"


class Bench:
    """The steps of one recipe in one workspace."""

    def __init__(self, recipe: StudyRecipe, workspace: Workspace) -> None:
        require_voices(recipe.synthesis, recipe.language)
        self.recipe = recipe
        model = resolve_model(recipe.model)
        require_language(model, recipe.language)
        self.pipeline = Pipeline.of(workspace, model, recipe.language)
        self._spoken: dict[str, Clips] = {}

    def tuned(self, name: str, sentences: Sequence[Sentence], renditions: int) -> Stage:
        """The base model fine-tuned on synthetic speech of the sentences."""
        spoken = self.pipeline.speak(sentences, self.recipe.synthesis, renditions, name)
        self._spoken[spoken.key] = spoken
        return self.pipeline.tune(self.pipeline.base, spoken, self.recipe.training, f"{name}-synthetic")

    def target(self, name: str, sentences: Sequence[Sentence]) -> Stage:
        """θ_syn^T, of a target known by these sentences."""
        return self.tuned(name, sentences, self.recipe.synthesis.target_renditions)

    def spoken(self) -> list[Utterance]:
        """Everything that was spoken so far."""
        return [utterance for clips in self._spoken.values() for utterance in clips.load()]

    def rejected(self) -> int:
        """How many renditions no voice could speak."""
        return sum(clips.rejected() for clips in self._spoken.values())

    def curve(self, name: str, way: Sum, blend: Blend, corpus: Corpus) -> list[CurvePoint]:
        """Errors of a sum's models at every λ that is tried of it, in the window they were trained for."""
        points = []
        for scale in tried(way, self.recipe.lambdas):
            total = self.heard(name, (blend, scale), corpus, "short").total
            points.append(CurvePoint(scale, total.errors, total.words))
        return points

    def heard(self, name: str, model: Heard, corpus: Corpus, window: "Window") -> Scores:
        """Scores of θ + λτ on a corpus."""
        blend, scale = model
        texts = self.pipeline.hear(blend, scale, corpus, window, f"{name}, λ={scale:g}" if scale else name)
        return score(pairs_of(corpus, texts), self.recipe.evaluation.normaliser)

    def systems(
        self, tuned: Mapping[str, Heard], test: Corpus, full: Sequence[str], tested: Corpus | None = None
    ) -> list[SystemResult]:
        """Every model on ``test`` (scored on those of ``tested``, where given) in short windows, and those of ``full``
        at 30 s too, each against `BASELINE` in the same window; the untouched model first. A model without windows is
        heard once."""
        wanted = {u.id for u in (test if tested is None else tested)}
        # Untouched Whisper loops in short windows, so it is heard at 30 s only.
        alone = {"zero-shot": (Blend(self.pipeline.base), 0.0)}
        if self.pipeline.windowed:
            asked: list[tuple[Window, Mapping[str, Heard]]] = [
                ("full", alone),
                ("short", tuned),
                ("full", {name: tuned[name] for name in full if name in tuned}),
            ]
        else:
            asked = [("short", {**alone, **tuned})]
        heard: dict[tuple[str, str], Scores] = {}
        for window, models in asked:
            for name, model in models.items():
                shown = window if window == "full" else self.pipeline.window
                heard[name, shown] = self.heard(name, model, test, window)
        found = {key: scores.filter(lambda u: u.id in wanted) for key, scores in heard.items()}
        return [
            measure(
                name,
                window,
                scores,
                baseline=found.get((BASELINE, window)) if name != BASELINE else None,
                scale=tuned[name][1] if name in SUMS else None,
                evaluation=self.recipe.evaluation,
            )
            for (name, window), scores in found.items()
        ]

    def utterances(self, tuned: Mapping[str, Heard], way: Sum, test: Corpus) -> list[dict[str, Any]]:
        """Each test utterance with what the baseline and the adapted model heard in it."""
        before, after = (self.heard(name, tuned[name], test, "short") for name in (BASELINE, way))
        return [
            {
                "id": u.id,
                "audio": str(u.audio_filepath),
                "reference": u.text,
                BASELINE: x.hypothesis,
                way: y.hypothesis,
                "errors": {BASELINE: x.counts.errors, way: y.counts.errors},
                "words": y.counts.words,
            }
            for u, x, y in zip(test, before, after, strict=True)
        ]
