"""Making a vector from real source speech, and choosing its λ without any real speech of the target.

    source real ─────────────────────▶ θ_real^S ─┐
    source text ──▶ synthetic source ▶ θ_syn^S ──┴─▶ τ = θ_real^S − θ_syn^S

Each proxy domain plays the target, and the λ with the fewest errors summed over proxies is taken. A proxy is either
held out of every vector (`held_out`), so that one vector serves all, or takes its turn (`rotate`) with a vector made
from the other sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from syn2real.experiments.bench import Bench
from syn2real.experiments.material import default_proxies, without_sentences
from syn2real.experiments.pipeline import Addend, Blend, Clips, Difference
from syn2real.experiments.recipe import SourceRecipe
from syn2real.experiments.results import CurvePoint, SourceData, at_end, likely_scale
from syn2real.experiments.stages import Stage
from syn2real.progress import say
from syn2real.speech.corpus import Corpus, distinct, one_each


@dataclass(frozen=True)
class Chosen:
    """A vector, and the λ it is added with."""

    vector: Addend
    scale: float  # λ
    proxies: list[str]  # what chose λ; empty when it was given
    proxy_curve: list[CurvePoint]
    models: Mapping[str, Stage] = field(default_factory=dict)  # what it was made of, by the name of the system


class Maker:
    """Makes the vector of one recipe: from ``source``, with λ chosen on ``held_out`` or on the source in turns."""

    def __init__(self, bench: Bench, recipe: SourceRecipe, source: Corpus, held_out: Corpus) -> None:
        self.bench = bench
        self.recipe = recipe
        self.source = source
        self.held_out = held_out

    def vector(self) -> Chosen:
        """The vector and its λ. No real speech of the target is read."""
        say(f"{self.recipe.title}: {len(self.source)} real source clips")
        real, synthetic = self._models("source", self.source)
        difference = Difference.between(real, synthetic)
        models = {"source-synthetic": synthetic, "source-real": real}
        if self.recipe.scale is not None:
            return Chosen(difference, self.recipe.scale, [], [], models)
        proxies, curve = self._choose(difference)
        scale = likely_scale(curve)
        end = at_end(scale, curve, "lambdas")
        say(f"λ = {scale:g}, chosen on {', '.join(proxies)}, without real target speech{end}")
        return Chosen(difference, scale, proxies, curve, models)

    def data(self) -> SourceData:
        """How much real speech makes the vector."""
        source = self.source
        return SourceData(
            source_clips=len(source),
            source_seconds=round(source.duration, 1),
            source_domains=source.domains,
            source_speakers=len(source.speakers),
            source_licences=source.licences,
        )

    def record(self) -> None:
        """Nothing: this vector was not published."""

    def _models(self, name: str, source: Corpus) -> tuple[Stage, Stage]:
        """θ_real^S and θ_syn^S, from real and synthetic speech of the same sentences."""
        pipeline = self.bench.pipeline
        # Spoken first, so that a voice whose weights are missing is found before anything is trained.
        synthetic = self.bench.tuned(name, one_each(source), self.recipe.synthesis.source_renditions)
        real = pipeline.tune(pipeline.base, Clips.of(source), self.recipe.training, f"{name}-real")
        return real, synthetic

    def _choose(self, difference: Difference) -> tuple[list[str], list[CurvePoint]]:
        """Errors by λ, summed over the proxy domains, each with its own synthetic target model and real recordings."""
        recipe, source = self.recipe, self.source
        turns = recipe.rotate or ([] if recipe.held_out else default_proxies(source))
        names, curves = [], []
        for number, domain in enumerate(recipe.held_out):
            real = self.held_out.domain(domain)
            model = self.bench.target(f"held-out{number}", distinct(real.sentences))
            names.append(domain)
            curves.append(self.bench.curve(f"proxy {domain}", Blend(model, difference), real))
        folds = [(domain, source.domain(domain), source.without(domain)) for domain in turns]
        if not curves and not folds:
            # One source domain: half of its sentences play the target, the vector comes from the other half.
            folds = [("half of the source sentences", *source.split(0.5, recipe.training.seed, by="text"))]
        for number, (domain, real, others) in enumerate(folds):
            turn = Difference.between(*self._models(f"fold{number}", without_sentences(others, real.sentences)))
            model = self.bench.target(f"proxy{number}", distinct(real.sentences))
            names.append(domain)
            curves.append(self.bench.curve(f"proxy {domain}", Blend(model, turn), real))
        return names, [CurvePoint.total(points) for points in zip(*curves, strict=True)]
