"""The SYN2REAL study (arXiv 2406.02925) as stages: synthesis, fine-tuning, vector, λ, merged model, scores.

    target text ──▶ synthetic target ──▶ θ_syn^T ────────────────────┐
    source real ─────────────────────▶ θ_real^S ─┐                   ├─▶ θ* = θ_syn^T + λτ
    source text ──▶ synthetic source ▶ θ_syn^S ──┴─▶ τ = θ_real^S − θ_syn^S

λ is chosen without any real speech of the target: each proxy domain plays the target, and the λ with the fewest
errors summed over proxies is taken. A proxy is either held out of every vector (`held_out`), so that one vector
serves all, or takes its turn (`rotate`) with a vector made from the other sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syn2real.experiments.material import Material, default_proxies, require_material, without_sentences
from syn2real.experiments.pipeline import Blend, Clips, Difference, Pipeline, require_voices
from syn2real.experiments.recipe import Recipe
from syn2real.experiments.results import CurvePoint, Results, StudyData, SystemResult, best_scale, measure
from syn2real.experiments.stages import Stage, Workspace
from syn2real.hashing import seed_from, sha256_json
from syn2real.progress import say
from syn2real.speech.corpus import Corpus, Sentence, distinct, sentence_key
from syn2real.speech.pretrained import resolve_model
from syn2real.speech.scoring import Pair, Scores, score

if TYPE_CHECKING:
    from syn2real.merge import TaskVector
    from syn2real.speech.transcription import Window


@dataclass(frozen=True)
class Adapted:
    """The models of a study, before anything is scored on the target."""

    source_real: Stage
    source_synthetic: Stage
    target_synthetic: Stage
    merged: Stage
    scale: float  # λ
    proxies: list[str]  # what chose λ; empty when it was given
    proxy_curve: list[CurvePoint]

    @property
    def model(self) -> Path:
        """The adapted model, a Hugging Face directory."""
        return self.merged.directory

    @property
    def difference(self) -> Difference:
        """τ = θ_real^S − θ_syn^S."""
        return Difference.between(self.source_real, self.source_synthetic)

    @property
    def vector(self) -> "TaskVector":
        """The same, for the merge core."""
        return self.difference.vector()

    @property
    def blend(self) -> Blend:
        """θ_syn^T with τ to be added."""
        return Blend(self.target_synthetic, self.difference)


class Study:
    """The stages of one recipe in one workspace."""

    def __init__(self, recipe: Recipe, material: Material, workspace: Workspace) -> None:
        require_material(recipe, material)
        require_voices(recipe.synthesis, recipe.language)
        self.recipe = recipe
        self.material = material
        self.pipeline = Pipeline.of(workspace, resolve_model(recipe.model), recipe.language)
        self._spoken: dict[str, Clips] = {}

    def adapt(self) -> Adapted:
        """Make the adapted model from text and source speech. No real speech of the target is read."""
        recipe, material = self.recipe, self.material
        say(f"{recipe.title}: {len(material.source)} real source clips, {len(material.target_text)} target sentences")
        real, synthetic = self._source_models("source", material.source)
        target = self._target_model("target", material.target_text)
        difference = Difference.between(real, synthetic)
        proxies: list[str] = []
        curve: list[CurvePoint] = []
        if recipe.scale is not None:
            scale = recipe.scale
        else:
            proxies, curve = self._choose(difference)
            scale = best_scale(curve)
            say(f"λ = {scale:g}, chosen on {', '.join(proxies)}, without real target speech")
        merged = self.pipeline.write(Blend(target, difference), scale)
        return Adapted(real, synthetic, target, merged, scale, proxies, curve)

    def describe(self, adapted: Adapted) -> Results:
        """How the adapted model was made, without any score on the target."""
        return Results(
            recipe=self.recipe,
            chosen=adapted.scale,
            proxies=adapted.proxies,
            proxy_curve=adapted.proxy_curve,
            data=self._data(),
        )

    def evaluate(self, adapted: Adapted) -> Results:
        """The same, with every system scored on the target's real recordings."""
        test = self.material.test
        systems = self._systems(adapted, self.recipe.evaluation.full_window)
        curve = self._curve("target", adapted.blend, test)
        strict = self._strict(adapted) if self.recipe.evaluation.strict else None
        utterances = self._utterances(adapted, test)
        # Described last: the strict table has voices of its own.
        return replace(self.describe(adapted), systems=systems, curve=curve, strict=strict, utterances=utterances)

    # ---- the parts of the study ----------------------------------------------------------------------------------

    def _source_models(self, name: str, source: Corpus) -> tuple[Stage, Stage]:
        """θ_real^S and θ_syn^S, from real and synthetic speech of the same sentences."""
        real = self.pipeline.tune(self.pipeline.base, Clips.of(source), self.recipe.training, f"{name}-real")
        sentences = [replace(u.sentence, id=f"s{sha256_json([u.id, u.text])[:12]}") for u in source]
        synthetic = self._tuned(name, sentences, self.recipe.synthesis.source_renditions)
        return real, synthetic

    def _target_model(self, name: str, sentences: Sequence[Sentence]) -> Stage:
        """θ_syn^T: the base model fine-tuned on synthetic speech of the sentences."""
        return self._tuned(name, sentences, self.recipe.synthesis.target_renditions)

    def _tuned(self, name: str, sentences: Sequence[Sentence], renditions: int) -> Stage:
        spoken = self.pipeline.speak(sentences, self.recipe.synthesis, renditions, name)
        self._spoken[spoken.key] = spoken
        return self.pipeline.tune(self.pipeline.base, spoken, self.recipe.training, f"{name}-synthetic")

    def _choose(self, difference: Difference) -> tuple[list[str], list[CurvePoint]]:
        """Errors by λ, summed over the proxy domains, each with its own synthetic target model and real recordings."""
        recipe, source = self.recipe, self.material.source
        turns = recipe.rotate or ([] if recipe.held_out else default_proxies(source))
        names, curves = [], []
        for number, domain in enumerate(recipe.held_out):
            real = self.material.held_out.domain(domain)
            model = self._target_model(f"held-out{number}", distinct(real.sentences))
            names.append(domain)
            curves.append(self._curve(f"proxy {domain}", Blend(model, difference), real))
        folds = [(domain, source.domain(domain), source.without(domain)) for domain in turns]
        if not curves and not folds:
            # One source domain: half of its sentences play the target, the vector comes from the other half.
            folds = [("half of the source sentences", *source.split(0.5, recipe.training.seed, by="text"))]
        for number, (domain, real, others) in enumerate(folds):
            turn = Difference.between(*self._source_models(f"fold{number}", without_sentences(others, real.sentences)))
            model = self._target_model(f"proxy{number}", distinct(real.sentences))
            names.append(domain)
            curves.append(self._curve(f"proxy {domain}", Blend(model, turn), real))
        return names, [CurvePoint.total(points) for points in zip(*curves, strict=True)]

    def _curve(self, name: str, blend: Blend, corpus: Corpus) -> list[CurvePoint]:
        """Errors of θ + λτ at every λ, in the window the models were trained for."""
        points = []
        for scale in self.recipe.lambdas:
            total = self._heard(name, blend, scale, corpus, "short").total
            points.append(CurvePoint(scale, total.errors, total.words))
        return points

    def _systems(self, adapted: Adapted, full: Sequence[str], tested: Corpus | None = None) -> list[SystemResult]:
        """Every system on the target's real recordings (or those of ``tested``) in short windows, and those of
        ``full`` at 30 s too, each against target-synthetic in the same window."""
        test = self.material.test
        wanted = {u.id for u in (test if tested is None else tested)}
        tuned = {
            "source-synthetic": (Blend(adapted.source_synthetic), 0.0),
            "source-real": (Blend(adapted.source_real), 0.0),
            "target-synthetic": (Blend(adapted.target_synthetic), 0.0),
            "syn2real": (adapted.blend, adapted.scale),
        }
        # Untouched Whisper loops in short windows, so it is heard at 30 s only.
        heard: dict[tuple[str, Window], Scores] = {}
        heard["zero-shot", "full"] = self._heard("zero-shot", Blend(self.pipeline.base), 0.0, test, "full")
        windows: list[tuple[Window, Sequence[str]]] = [("short", list(tuned)), ("full", full)]
        for window, names in windows:
            for name in names:
                heard[name, window] = self._heard(name, *tuned[name], test, window)
        found = {key: scores.filter(lambda u: u.id in wanted) for key, scores in heard.items()}
        return [
            measure(
                name,
                window,
                scores,
                baseline=found.get(("target-synthetic", window)) if name != "target-synthetic" else None,
                scale=adapted.scale if name == "syn2real" else None,
                evaluation=self.recipe.evaluation,
            )
            for (name, window), scores in found.items()
        ]

    def _strict(self, adapted: Adapted) -> list[SystemResult]:
        """The same with half of the target's sentences synthesised and only recordings of the other half tested."""
        seed = self.recipe.training.seed
        ranked = sorted(self.material.target_text, key=lambda s: seed_from(seed, "strict", s.text))
        spoken = ranked[: len(ranked) // 2]
        unseen = without_sentences(self.material.test, spoken)
        target = self._target_model("strict", spoken)
        return self._systems(replace(adapted, target_synthetic=target), [], unseen)

    def _heard(self, name: str, blend: Blend, scale: float, corpus: Corpus, window: "Window") -> Scores:
        """Scores of θ + λτ on a corpus."""
        texts = self.pipeline.hear(blend, scale, corpus, window, f"{name}, λ={scale:g}" if scale else name)
        pairs = [Pair(u.id, u.text, texts[u.id], u.speaker, u.domain) for u in corpus]
        return score(pairs, self.recipe.evaluation.normaliser)

    # ---- what the report needs besides ---------------------------------------------------------------------------

    def _data(self) -> StudyData:
        material = self.material
        tested = {sentence_key(utterance.text) for utterance in material.test}
        spoken = [utterance for clips in self._spoken.values() for utterance in clips.load()]
        return StudyData(
            source_clips=len(material.source),
            source_seconds=round(material.source.duration, 1),
            source_domains=material.source.domains,
            source_speakers=len({u.speaker for u in material.source if u.speaker}),
            target_sentences=len(material.target_text),
            test_clips=len(material.test),
            test_seconds=round(material.test.duration, 1),
            test_speakers=len({u.speaker for u in material.test if u.speaker}),
            test_sentences_in_text=sum(sentence_key(s.text) in tested for s in material.target_text),
            voices=sorted({f"{u.engine}:{u.voice}" for u in spoken}),
            licences=sorted({f"{u.engine}: {u.licence}" for u in spoken}),
            recordings_licences=sorted({u.licence for u in [*material.source, *material.test] if u.licence}),
        )

    def _utterances(self, adapted: Adapted, test: Corpus) -> list[dict[str, Any]]:
        before = self._heard("target-synthetic", adapted.blend, 0.0, test, "short")
        after = self._heard("syn2real", adapted.blend, adapted.scale, test, "short")
        return [
            {
                "id": u.id,
                "audio": str(u.audio_filepath),
                "reference": u.text,
                "target-synthetic": x.hypothesis,
                "syn2real": y.hypothesis,
                "errors": {"target-synthetic": x.counts.errors, "syn2real": y.counts.errors},
                "words": y.counts.words,
            }
            for u, x, y in zip(test, before, after, strict=True)
        ]
