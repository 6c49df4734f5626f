"""The systems that are compared, each as a model and, for most, a vector that may be added to it.

    target text ──▶ synthetic target ──▶ θ_syn^T ──────────────────┐
    source real ─────────────────────▶ θ_real^S ─┐                 ├─▶ θ* = θ_syn^T + λτ
    source text ──▶ synthetic source ▶ θ_syn^S ──┴─▶ τ = θ_real^S − θ_syn^S

After "Task Arithmetic can Mitigate Synthetic-to-Real Gap in Automatic Speech Recognition", arXiv 2406.02925.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from syn2real.experiments.grid_recipe import GridRecipe, System
from syn2real.experiments.pipeline import Blend, Clips, Difference, Pipeline
from syn2real.experiments.protocol import Roles
from syn2real.experiments.recipe import SynthesisRecipe, TrainingRecipe
from syn2real.experiments.stages import Stage
from syn2real.experiments.sums import Trio
from syn2real.speech.corpus import Corpus, one_each

if TYPE_CHECKING:
    from syn2real.speech.augmentation import Augmentation

# Systems for which the vector of all sources is made; others have none, or one of another kind.
VECTORED: frozenset[System] = frozenset(
    {"syn2real", "syn2real-mixed", "syn2real-augmented", "syn2real-groups", "text-on-real", "best-sum"}
)


@dataclass(frozen=True)
class Workshop:
    """Makes the models of one condition: a base model, a set of voices, settings and a seed."""

    pipeline: Pipeline
    roles: Roles
    recipe: GridRecipe
    synthesis: SynthesisRecipe
    training: TrainingRecipe

    def blend(self, system: System, target: str, sources: Sequence[str]) -> Blend:
        """A system with ``target`` known by its text alone (save for the topline) and ``sources`` by their speech."""
        match system:
            case "zero-shot":
                return Blend(self.pipeline.base)
            case "target-real":
                return Blend(self._target_real(target))
            case "target-synthetic":
                return Blend(self.target(target, sources))
            case "target-synthetic-augmented":
                return Blend(self.target(target, sources, augmented=True))
            case "source-real":
                return Blend(self.source_real(sources))
            case "source-synthetic":
                return Blend(self.source_synthetic(sources))
            case "source-mixed":
                return Blend(self.source_mixed(sources))
            case "mixed-target-synthetic":
                return Blend(self._continued(target, sources))
            case "syn2real" | "text-on-real" | "average":
                return self.trio(target, sources).blend(system)
            case "syn2real-groups":
                return self.trio(target, sources).blend("syn2real")
            case "syn2real-mixed":
                return Blend(self._continued(target, sources), self.vector(sources))
            case "syn2real-augmented":
                return Blend(self.target(target, sources, augmented=True), self.vector(sources))
            case "syn2real-domains":
                parts = [self.vector([domain]) for domain in sources]
                return Blend(self.target(target, sources), Difference.mean(parts))
            case "syn2real-lora":
                return Blend(self.target(target, sources), self.by_adapters().vector(sources))
            case "syn2real-engines":
                voices = [only(self.synthesis, name) for name in self.synthesis.engines]
                parts = [self.spoken_by(voice).vector(sources) for voice in voices]
                return Blend(self.target(target, sources), Difference.mean(parts))
            case "best-sum":
                raise ValueError("which sum is best is chosen for each target")

    def trio(self, target: str, sources: Sequence[str]) -> Trio:
        """The three models of every sum."""
        return Trio(
            lambda: self.source_real(sources),
            lambda: self.source_synthetic(sources),
            lambda: self.target(target, sources),
        )

    def vector(self, sources: Sequence[str]) -> Difference:
        """τ = θ_real^S − θ_syn^S."""
        return Difference.between(self.source_real(sources), self.source_synthetic(sources))

    def vector_on(self, recordings: Corpus, name: str) -> Difference:
        """The same, from any real recordings and the same sentences spoken."""
        real = self._tune(Clips.of(recordings), f"real, {name}")
        return Difference.between(real, self._tune(self._spoken(recordings), f"synthetic, {name}"))

    def spoken_by(self, synthesis: SynthesisRecipe) -> "Workshop":
        """The same with other voices."""
        return replace(self, synthesis=synthesis)

    def by_adapters(self) -> "Workshop":
        """The same with models tuned by low-rank adapters, which are merged into the weights."""
        rate = self.training.learning_rate * self.recipe.lora.rate
        changes = {"lora": self.recipe.lora.settings, "learning_rate": rate}
        return replace(self, training=self.training.model_copy(update=changes))

    # ---- models --------------------------------------------------------------------------------------------------

    def source_real(self, sources: Sequence[str]) -> Stage:
        """θ_real^S."""
        clips = Clips.of(self.roles.source(sources))
        return self._tune(clips, f"source real, {_named(sources)}", dev=self._dev(sources))

    def source_synthetic(self, sources: Sequence[str]) -> Stage:
        """θ_syn^S: the same sentences as θ_real^S, one rendition for each recording unless the recipe says more."""
        clips = self._spoken(self.roles.source(sources))
        return self._tune(clips, f"source synthetic, {_named(sources)}", dev=self._dev(sources))

    def source_mixed(self, sources: Sequence[str]) -> Stage:
        """Tuned on the real and the synthetic source speech together."""
        recordings = self.roles.source(sources)
        clips = Clips.join([Clips.of(recordings), self._spoken(recordings)])
        return self._tune(clips, f"source mixed, {_named(sources)}", dev=self._dev(sources))

    def target(self, target: str, sources: Sequence[str], *, augmented: bool = False) -> Stage:
        """θ_syn^T, from the pre-trained model."""
        title = f"target synthetic, {target}" + (", augmented" if augmented else "")
        return self._tune(self.target_speech(target), title, augmented=augmented, dev=self._dev(sources, target))

    def _continued(self, target: str, sources: Sequence[str]) -> Stage:
        """θ_syn^T as the paper's released code makes it: source mixed, tuned on at a fraction of the learning rate."""
        rate = self.training.learning_rate * self.recipe.continuation
        slower = self.training.model_copy(update={"learning_rate": rate})
        return self.pipeline.tune(
            self.source_mixed(sources),
            self.target_speech(target),
            slower,
            f"mixed, then target synthetic, {target}",
            dev=self._dev(sources, target),
        )

    def _target_real(self, target: str) -> Stage:
        """The topline: the only model that hears real training speech of the target."""
        # Having real speech of the target, it may choose its checkpoint on the target's dev recordings.
        dev = None if self.recipe.selection == "none" else Clips.of(self.roles.dev(target))
        return self._tune(Clips.of(self.roles.train(target)), f"target real, {target}", dev=dev)

    def _tune(self, clips: Clips, title: str, *, augmented: bool = False, dev: Clips | None = None) -> Stage:
        augmentation = self._augmentation if augmented else None
        return self.pipeline.tune(self.pipeline.base, clips, self.training, title, augmentation=augmentation, dev=dev)

    # ---- speech --------------------------------------------------------------------------------------------------

    def target_speech(self, target: str) -> Clips:
        """The target's text, spoken."""
        sentences = self.roles.text(target)
        return self.pipeline.speak(sentences, self.synthesis, self.synthesis.target_renditions, f"text of {target}")

    def source_speech(self, recordings: Corpus) -> list[Clips]:
        """The recordings' sentences, spoken: domain by domain, so that a domain is spoken once."""
        names = list(dict.fromkeys(utterance.domain for utterance in recordings))
        parts = [(name, recordings.filter(lambda u, n=name: u.domain == n)) for name in names]  # type: ignore[misc]
        return [self._spoken_part(name or "no domain", part) for name, part in parts]

    def _spoken(self, recordings: Corpus) -> Clips:
        return Clips.join(self.source_speech(recordings))

    def _spoken_part(self, domain: str, recordings: Corpus) -> Clips:
        title = f"text of {domain}, recording by recording"
        return self.pipeline.speak(one_each(recordings), self.synthesis, self.synthesis.source_renditions, title)

    def _dev(self, sources: Sequence[str], target: str | None = None) -> Clips | None:
        """Recordings that choose a checkpoint, where the recipe wants any: of the source unless it leaks."""
        match self.recipe.selection:
            case "none":
                return None
            case "target-dev" if target is not None:
                return Clips.of(self.roles.dev(target))
            case _:
                return Clips.of(self.roles.source_dev(sources))

    @cached_property
    def _augmentation(self) -> "Augmentation":
        from syn2real.speech.augmentation import Augmentation

        return Augmentation.from_spec(self.recipe.augmentation, seed=self.training.seed)


def only(recipe: SynthesisRecipe, engine: str) -> SynthesisRecipe:
    """The same synthesis by one of its engines."""
    return recipe.model_copy(update={"engines": {engine: 1.0}})


def _named(domains: Sequence[str]) -> str:
    return ", ".join(domains) if len(domains) <= 4 else f"{len(domains)} domains"
