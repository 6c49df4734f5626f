"""Making a vector that others can use: the vector, λ by proxies, what it is worth, and the card that says all that."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from syn2real.experiments.bench import Bench
from syn2real.experiments.licences import Licence, judge
from syn2real.experiments.making import Chosen, Maker
from syn2real.experiments.material import Material, require_material
from syn2real.experiments.pipeline import Blend, synthesis_settings
from syn2real.experiments.ready_vector import (
    FORMAT,
    VECTOR,
    VERSION,
    Base,
    Gain,
    Recommended,
    Speech,
    Spoken,
    Storage,
    Stored,
    Synthesis,
    VectorCard,
)
from syn2real.experiments.recipe import SynthesisRecipe
from syn2real.experiments.stages import Stage, Workspace
from syn2real.experiments.vector_recipe import StorageRecipe, VectorRecipe
from syn2real.experiments.versions import versions
from syn2real.merge import Checkpoint, TaskVector
from syn2real.sealing import write_text
from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import licence_of
from syn2real.speech.synthesis import Cast

STORING_VERSION = 1
STORAGE = "storage.json"


@dataclass(frozen=True)
class Made:
    """A vector's file and its card."""

    file: Path
    card: VectorCard


class VectorStudy:
    """The stages of one recipe in one workspace."""

    def __init__(self, recipe: VectorRecipe, material: Material, workspace: Workspace) -> None:
        require_material(recipe, material)
        self.recipe = recipe
        self.material = material
        self.bench = Bench(recipe, workspace)
        self.maker = Maker(self.bench, recipe, material.source, material.held_out)

    def make(self) -> Made:
        """The stored vector and its card. Real speech of the target is only tested on."""
        chosen = self.maker.vector()
        stage = self._stored(chosen)
        stored = Stored(stage.directory / VECTOR)
        spoken = self._spoken()  # before the target's text is: it is no part of the vector
        storage = Storage.model_validate_json((stage.directory / STORAGE).read_text(encoding="utf-8"))
        base = self._base()
        corpora = self._corpora()
        card = VectorCard.model_validate(
            {
                "format": FORMAT,
                "version": VERSION,
                "name": self.recipe.name,
                "title": self.recipe.title or self.recipe.name,
                "note": self.recipe.note,
                "language": self.recipe.language,
                "base": base,
                "corpora": corpora,
                "synthesis": self._synthesis(spoken),
                "training": self.recipe.training,
                "lambda": Recommended(
                    recommended=chosen.scale,
                    chosen_on=chosen.proxies,
                    curve=chosen.proxy_curve,
                    normaliser=self.recipe.evaluation.normaliser,
                ),
                "storage": storage,
                "gain": self._gain(stored, chosen.scale) if self.recipe.target else None,
                "licences": self._licences(base, corpora, spoken),
                "made_with": versions(),
            }
        )
        return Made(stored.path, card)

    def _stored(self, chosen: Chosen) -> Stage:
        """The vector as it will be published, with what storing it so has cost."""
        settings = self.recipe.storage

        def make(directory: Path) -> None:
            from syn2real.merge.compression import relative_error
            from syn2real.merge.vector_file import StoredVector

            vector, file = chosen.vector.vector(), directory / VECTOR
            store(vector, file, settings)
            written = Stored(file)
            content = Storage(
                sha256=written.key,
                bytes=file.stat().st_size,
                tensors=len(vector.names),
                parameters=vector.parameters,
                norm=written.vector().norm(),
                dtype="int8" if settings.method == "int8" else settings.dtype,
                method=settings.method,
                relative_error=relative_error(vector, StoredVector(file)),
            )
            write_text(directory / STORAGE, content.model_dump_json(indent=2) + "\n")

        return self.bench.pipeline.workspace.stage(
            "vector",
            make,
            version=STORING_VERSION,
            settings=settings.model_dump(),
            inputs={"vector": chosen.vector.key},
            title="storing the vector",
        )

    def _gain(self, stored: Stored, scale: float) -> Gain:
        """Every system on the target's recordings, with the vector as it is stored."""
        material = self.material
        target = self.bench.target("target", material.target_text)
        tuned = {"target-synthetic": (Blend(target), 0.0), "syn2real": (Blend(target, stored), scale)}
        return Gain(
            domains=list(self.recipe.target),
            sentences=len(material.target_text),
            clips=len(material.test),
            speakers=len(material.test.speakers),
            systems=self.bench.systems(tuned, material.test, self.recipe.evaluation.full_window),
        )

    # ---- the card ------------------------------------------------------------------------------------------------

    def _base(self) -> Base:
        base = Checkpoint.open(self.bench.pipeline.base.directory)
        named = self.recipe.model
        architectures = base.config.get("architectures") or [base.config.get("model_type", "unknown")]
        return Base(
            name=_name_of(named),
            sha256=base.sha256,
            architecture=str(architectures[0]),
            parameters=base.parameters,
            licence=self.recipe.model_licence or licence_of(named),
        )

    def _corpora(self) -> list[Speech]:
        parts = [self._speech("vector", self.material.source)]
        return [*parts, self._speech("lambda", self.material.held_out)] if len(self.material.held_out) else parts

    def _speech(self, use: str, corpus: Corpus) -> Speech:
        named = self.recipe.corpus
        return Speech.model_validate(
            {
                "name": named.name,
                "use": use,
                "clips": len(corpus),
                "hours": round(corpus.duration / 3600, 3),
                "speakers": len(corpus.speakers),
                "domains": corpus.domains,
                "licences": sorted({name for u in corpus if (name := u.licence or named.licence)}),
            }
        )

    def _spoken(self) -> list[Spoken]:
        said: dict[str, set[str]] = {}
        licences: dict[str, set[str]] = {}
        for utterance in self.bench.spoken():
            said.setdefault(str(utterance.engine), set()).add(str(utterance.voice))
            licences.setdefault(str(utterance.engine), set()).add(str(utterance.licence))
        return [
            Spoken(engine=name, voices=sorted(said[name]), licences=sorted(licences[name])) for name in sorted(said)
        ]

    def _synthesis(self, spoken: list[Spoken]) -> Synthesis:
        settings = asdict(synthesis_settings(self.recipe.synthesis, 1, self.recipe.language))
        ranges = {name: settings[name] for name in ("rate_range", "pitch_range", "level_range")}
        return Synthesis(recipe=publishable(self.recipe.synthesis), spoken=spoken, **ranges)

    def _licences(self, base: Base, corpora: list[Speech], spoken: list[Spoken]) -> list[Licence]:
        """Every licence that went in, once."""
        cast = Cast.choose(synthesis_settings(self.recipe.synthesis, 1, self.recipe.language))
        declared = {(v.engine, v.name): v.commercial_ok for voices in cast.voices.values() for v in voices}
        found = [judge(f"model {base.name}", base.licence)]
        for corpus in corpora:
            stated: list[str | None] = [*corpus.licences]
            found += [judge(f"recordings {corpus.name}", name) for name in stated or [None]]
        for one in spoken:
            free = all(declared.get((one.engine, voice), False) for voice in one.voices)
            found += [judge(f"voices {one.engine}", name, free) for name in one.licences]
        return list(dict.fromkeys(found))


def publishable(recipe: SynthesisRecipe) -> SynthesisRecipe:
    """A recipe as others may see it: of the files and folders in it their names alone."""
    options = {name: {k: _name_of(v) for k, v in given.items()} for name, given in (recipe.options or {}).items()}
    check = recipe.check
    if check is not None:
        check = check.model_copy(update={"recogniser": _name_of(check.recogniser)})
    return recipe.model_copy(update={"options": options or None, "check": check})


def store(vector: TaskVector, path: Path, settings: StorageRecipe) -> None:
    """Write a vector as a recipe wants it stored."""
    import torch

    from syn2real.merge.compression import compress

    dtype = getattr(torch, settings.dtype)
    if settings.method == "none":
        vector.save(path, dtype=dtype)
    else:
        compress(vector, path, settings.method, density=settings.density, rank=settings.rank, dtype=dtype)


def _name_of(value: Any) -> Any:
    """A value as others may see it: of a file or folder its name alone."""
    if not isinstance(value, str) or not value:
        return value
    try:
        return Path(value).resolve().name if Path(value).exists() else value
    except OSError:  # too long for a path
        return value
