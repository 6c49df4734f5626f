"""Making a vector from real source speech, and choosing its λ without any real speech of the target.

    source real ─────────────────────▶ θ_real^S ─┐
    source text ──▶ synthetic source ▶ θ_syn^S ──┴─▶ τ = θ_real^S − θ_syn^S

Each proxy domain plays the target, and the λ with the fewest errors to be expected over all of them is taken. A proxy
is either held out of every vector (`held_out`), so that one vector serves all, or takes its turn (`rotate`) with a
vector made from the other sources. Where more sums of the three models than SYN2REAL are allowed (`sums`), the proxies
choose among them too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from syn2real.experiments.bench import Bench
from syn2real.experiments.licences import of_recordings
from syn2real.experiments.material import turns, without_sentences
from syn2real.experiments.pipeline import Addend, Blend, Clips, Difference
from syn2real.experiments.recipe import SourceRecipe, Sum
from syn2real.experiments.results import CurvePoint, SourceData, at_end
from syn2real.experiments.stages import Stage
from syn2real.experiments.sums import Trio, likely_sum
from syn2real.progress import say
from syn2real.speech.corpus import Corpus, distinct, one_each

SYNTHETIC, REAL = "source-synthetic", "source-real"


@dataclass(frozen=True)
class Chosen:
    """A vector, and the sum that makes an adapted model of it, or of the models it was made of, with its λ."""

    vector: Addend  # τ
    scale: float  # λ
    proxies: list[str]  # what chose λ; empty when it was given
    curves: Mapping[Sum, list[CurvePoint]]  # on the proxies, of every sum that was tried
    models: Mapping[str, Stage] = field(default_factory=dict)  # what τ was made of, by the name of the system
    way: Sum = "syn2real"

    def blend(self, target: Stage) -> Blend:
        """The sum with this θ_syn^T. Any but SYN2REAL is of the models that τ was made of."""
        if self.way == "syn2real":
            return Blend(target, self.vector)
        return trio_of(self.models, target).blend(self.way)

    @property
    def proxy_curve(self) -> list[CurvePoint]:
        """What chose λ."""
        return self.curves.get(self.way, [])


def trio_of(models: Mapping[str, Stage], target: Stage) -> Trio:
    """The models of a vector with a θ_syn^T."""
    return Trio(lambda: models[REAL], lambda: models[SYNTHETIC], lambda: target)


@dataclass(frozen=True)
class Proxy:
    """A domain that plays the target: the models with which it does, and the recordings they are heard on."""

    name: str
    trio: Trio
    recordings: Corpus


class Maker:
    """Makes the vector of one recipe from ``source``. λ is chosen on ``held_out``, or on the source in turns; so is the
    sum, where there are several ``sums``."""

    def __init__(
        self,
        bench: Bench,
        recipe: SourceRecipe,
        source: Corpus,
        held_out: Corpus,
        sums: Sequence[Sum] = ("syn2real",),
    ) -> None:
        self.bench = bench
        self.recipe = recipe
        self.source = source
        self.held_out = held_out
        self.sums = sums

    def vector(self) -> Chosen:
        """The vector, the sum and its λ. No real speech of the target is read."""
        say(f"{self.recipe.title}: {len(self.source)} real source clips")
        # Spoken first, so that a voice whose weights are missing is found before anything is trained.
        synthetic = self._synthetic("source", self.source)
        models = {SYNTHETIC: synthetic, REAL: self._real("source", self.source)}
        difference = Difference.between(models[REAL], models[SYNTHETIC])
        if self.recipe.scale is not None:
            return Chosen(difference, self.recipe.scale, [], {}, models, self.sums[0])
        proxies, sums = self._proxies(models), self.sums
        if len(sums) > 1 and not self._domains:
            # A model tuned on the one half's real speech knows the domain, and the speakers, of the other half.
            sums = ("syn2real",)
            say("one source domain: whether another sum than SYN2REAL does better cannot be told on it")
        curves = {way: self._curve(way, proxies) for way in sums}
        way, scale = likely_sum(curves)
        end = at_end(way, scale, curves[way], "lambdas")
        named = f"{way}, " if len(curves) > 1 else ""
        names = [proxy.name for proxy in proxies]
        say(f"{named}λ = {scale:g}, chosen on {', '.join(names)}, without real target speech{end}")
        return Chosen(difference, scale, names, curves, models, way)

    def data(self) -> SourceData:
        """How much real speech makes the vector."""
        source = self.source
        return SourceData(
            source_clips=len(source),
            source_seconds=round(source.duration, 1),
            source_domains=source.domains,
            source_speakers=len(source.speakers),
            source_licences=of_recordings(source),
        )

    def record(self) -> None:
        """Nothing: this vector was not published."""

    def _real(self, name: str, source: Corpus) -> Stage:
        """θ_real^S."""
        pipeline = self.bench.pipeline
        return pipeline.tune(pipeline.base, Clips.of(source), self.recipe.training, f"{name}-real")

    def _synthetic(self, name: str, source: Corpus) -> Stage:
        """θ_syn^S, from synthetic speech of the same sentences."""
        return self.bench.tuned(name, one_each(source), self.recipe.synthesis.source_renditions)

    def _curve(self, way: Sum, proxies: Sequence[Proxy]) -> list[CurvePoint]:
        """Errors of a sum by λ, summed over the proxies."""
        curves = [self.bench.curve(f"proxy {p.name}, {way}", way, p.trio.blend(way), p.recordings) for p in proxies]
        return [CurvePoint.total(points) for points in zip(*curves, strict=True)]

    @cached_property
    def _turns(self) -> list[str]:
        """Source domains that take a turn as the target."""
        return turns(self.recipe, self.source)

    @property
    def _domains(self) -> bool:
        """Whether domains play the target, and not a part of the only one."""
        return bool(self.recipe.held_out or self._turns)

    def _proxies(self, models: Mapping[str, Stage]) -> list[Proxy]:
        """What plays the target, each known by its text; ``models`` are those of the whole source."""
        recipe, source = self.recipe, self.source
        found = []
        for number, domain in enumerate(recipe.held_out):
            real = self.held_out.domain(domain)
            target = self.bench.target(f"held-out{number}", distinct(real.sentences))
            found.append(Proxy(domain, trio_of(models, target), real))
        folds = [(domain, source.domain(domain), source.without(domain)) for domain in self._turns]
        if not self._domains:
            # One source domain: half of its sentences play the target, the vector comes from the other half.
            folds = [("half of the source sentences", *source.split(0.5, recipe.training.seed, by="text"))]
        return [*found, *(self._turn(number, *fold) for number, fold in enumerate(folds))]

    def _turn(self, number: int, domain: str, real: Corpus, others: Corpus) -> Proxy:
        """A source domain that plays the target, with a vector made from the others."""
        name, rest = f"fold{number}", without_sentences(others, real.sentences)
        target = self.bench.target(f"proxy{number}", distinct(real.sentences))
        trio = Trio(lambda: self._real(name, rest), lambda: self._synthetic(name, rest), lambda: target)
        return Proxy(domain, trio, real)
