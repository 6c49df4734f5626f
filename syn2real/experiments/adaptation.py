"""The SYN2REAL study (arXiv 2406.02925) as stages: synthesis, fine-tuning, vector, λ, merged model, scores.

    target text ──▶ synthetic target ──▶ θ_syn^T ─┬─▶ θ* = θ_syn^T + λτ
                                 τ and its λ ─────┘

The vector is made here from real source speech (`making`), or was made elsewhere and published (`ready`). Where it is
made here, θ* may also be another sum of the same three models (`sums`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from syn2real.experiments.bench import Bench, Heard
from syn2real.experiments.licences import of_model, of_recordings, stated
from syn2real.experiments.making import Chosen, Maker
from syn2real.experiments.material import Material, require_material, strict_halves
from syn2real.experiments.pipeline import Blend
from syn2real.experiments.recipe import Recipe
from syn2real.experiments.results import Results, SourceData, StudyData, SystemResult
from syn2real.experiments.stages import Stage, Workspace
from syn2real.progress import say
from syn2real.speech.corpus import Corpus, Sentence, sentence_key

if TYPE_CHECKING:
    from syn2real.merge import TaskVector


class Origin(Protocol):
    """Where a vector comes from."""

    def vector(self) -> Chosen:
        """The vector, and how to add it."""

    def data(self) -> SourceData:
        """How much real speech made it."""

    def record(self) -> dict[str, Any] | None:
        """Which published vector it is; None for one made here."""


@dataclass(frozen=True)
class Adapted:
    """The models of a study, before anything is scored on the target."""

    chosen: Chosen
    target_synthetic: Stage
    merged: Stage

    @property
    def model(self) -> Path:
        """The adapted model, a Hugging Face directory."""
        return self.merged.directory

    @property
    def vector(self) -> "TaskVector":
        """τ, for the merge core."""
        return self.chosen.vector.vector()

    @property
    def blend(self) -> Blend:
        """A model, and what is added to it λ times."""
        return self.chosen.blend(self.target_synthetic)

    @property
    def tuned(self) -> dict[str, Heard]:
        """Every tuned model by the name of the system, with the λ it is heard with."""
        made = {name: (Blend(stage), 0.0) for name, stage in self.chosen.models.items()}
        alone = (Blend(self.target_synthetic), 0.0)
        return {**made, "target-synthetic": alone, self.chosen.way: (self.blend, self.chosen.scale)}


class Study:
    """An adaptation to a target's text with a vector, scored on recordings of the target where there are any."""

    def __init__(self, bench: Bench, origin: Origin, text: Sequence[Sentence], test: Corpus) -> None:
        self.bench = bench
        self.origin = origin
        self.text = text
        self.test = test

    @classmethod
    def of(cls, recipe: Recipe, material: Material, workspace: Workspace) -> "Study":
        """A study that makes its own vector. Raises `UserError` for a role without clips, before anything is made."""
        require_material(recipe, material)
        bench = Bench(recipe, workspace)
        maker = Maker(bench, recipe, material.source, material.held_out, recipe.sums)
        return cls(bench, maker, material.target_text, material.test)

    def adapt(self) -> Adapted:
        """Make the adapted model. No real speech of the target is read."""
        say(f"{self.bench.recipe.title}: {len(self.text)} target sentences")
        target = self.bench.target("target", self.text)  # first: a text that nothing can speak is found at once
        chosen = self.origin.vector()
        merged = self.bench.pipeline.write(chosen.blend(target), chosen.scale)
        return Adapted(chosen, target, merged)

    def describe(self, adapted: Adapted) -> Results:
        """How the adapted model was made, without any score on the target."""
        return Results(
            recipe=self.bench.recipe,
            chosen=adapted.chosen.scale,
            way=adapted.chosen.way,
            proxies=adapted.chosen.proxies,
            proxy_curves=adapted.chosen.curves,
            data=self._data(),
            vector=self.origin.record(),
        )

    def evaluate(self, adapted: Adapted) -> Results:
        """The same, with every system scored on the target's real recordings."""
        evaluation, way = self.bench.recipe.evaluation, adapted.chosen.way
        full = [way if name == "syn2real" else name for name in evaluation.full_window]
        systems = self.bench.systems(adapted.tuned, self.test, full)
        curve = self.bench.curve("target", way, adapted.blend, self.test)
        strict = self._strict(adapted) if evaluation.strict else None
        utterances = self.bench.utterances(adapted.tuned, way, self.test)
        # Described last: the strict table has voices of its own.
        return replace(self.describe(adapted), systems=systems, curve=curve, strict=strict, utterances=utterances)

    def _strict(self, adapted: Adapted) -> list[SystemResult]:
        """The same with half of the target's sentences synthesised and only recordings of the other half tested."""
        spoken, unseen = strict_halves(self.bench.recipe, self.test, self.text)
        target = self.bench.target("strict", spoken)
        return self.bench.systems(replace(adapted, target_synthetic=target).tuned, self.test, [], unseen)

    def _data(self) -> StudyData:
        tested = {sentence_key(utterance.text) for utterance in self.test}
        spoken, source = self.bench.spoken(), self.origin.data()
        return StudyData(
            source_clips=source.source_clips,
            source_seconds=source.source_seconds,
            source_domains=source.source_domains,
            source_speakers=source.source_speakers,
            target_sentences=len(self.text),
            test_clips=len(self.test),
            test_seconds=round(self.test.duration, 1),
            test_speakers=len(self.test.speakers),
            test_sentences_in_text=sum(sentence_key(s.text) in tested for s in self.text),
            voices=sorted({f"{u.engine}:{u.voice}" for u in spoken}),
            licences=[
                of_model(self.bench.recipe.model),
                *sorted({*source.source_voice_licences, *(f"{u.engine}: {stated(u.licence)}" for u in spoken)}),
            ],
            recordings_licences=sorted({*source.source_licences, *of_recordings(self.test)}),
            rejected=self.bench.rejected(),
        )
