"""The SYN2REAL study (arXiv 2406.02925) as stages: synthesis, fine-tuning, vector, λ, merged model, scores.

    target text ──▶ synthetic target ──▶ θ_syn^T ────────────────────┐
    source real ─────────────────────▶ θ_real^S ─┐                   ├─▶ θ* = θ_syn^T + λτ
    source text ──▶ synthetic source ▶ θ_syn^S ──┴─▶ τ = θ_real^S − θ_syn^S

λ is chosen without any real speech of the target: each proxy domain plays the target, and the λ with the fewest
errors summed over proxies is taken. A proxy is either held out of every vector (`held_out`), so that one vector
serves all, or takes its turn (`rotate`) with a vector made from the other sources.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syn2real.errors import UserError, did_you_mean
from syn2real.experiments.recipe import Recipe
from syn2real.experiments.results import CurvePoint, Results, StudyData, SystemResult, best_scale, measure
from syn2real.experiments.stages import Stage, Workspace
from syn2real.hashing import seed_from, sha256_file, sha256_json
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.merge import Checkpoint, TaskVector, write
from syn2real.progress import say
from syn2real.speech.corpus import MANIFEST, Corpus, Sentence, read_sentences, sentence_key
from syn2real.speech.pretrained import resolve_model
from syn2real.speech.scoring import Pair, Scores, score
from syn2real.speech.synthesis import Cast, SynthesisSettings, synthesize
from syn2real.speech.training import TrainingSettings

if TYPE_CHECKING:
    from syn2real.speech.transcription import Window

SYNTHESIS_VERSION = 1
TRAINING_VERSION = 1
VECTOR_VERSION = 1
TRANSCRIPTION_VERSION = 1
MERGE_VERSION = 1

HYPOTHESES = "hypotheses.jsonl"
VECTOR = "vector.safetensors"


@dataclass(frozen=True)
class Material:
    """What a study works on: recordings by role, and the target's text."""

    source: Corpus  # real, for θ_real^S; holds no sentence of the test
    held_out: Corpus  # real, chooses λ, in no vector
    test: Corpus  # real recordings of the target, read for scoring only
    target_text: tuple[Sentence, ...]


def load_material(recipe: Recipe) -> Material:
    """Read the corpus and give every recording its role.

    The target's real training speech gives its text and nothing else. Raises `UserError` for unknown domains or a
    role without recordings.
    """
    corpus = Corpus.load(recipe.corpus.manifest)
    domains = set(corpus.domains)
    for name in [*recipe.target, *recipe.sources, *recipe.held_out, *recipe.rotate]:
        if name not in domains:
            raise UserError(f"{recipe.corpus.manifest}: no domain {name!r}{did_you_mean(name, domains)}")
    train, test = _select(corpus, recipe.corpus.train), _select(corpus, recipe.corpus.test)
    sources = recipe.sources or sorted(domains - {*recipe.target, *recipe.held_out})
    target_test = test.domain(*recipe.target)
    if recipe.test_limit is not None:
        target_test = target_test.sample(recipe.test_limit, recipe.training.seed)
    # A sentence that the source recordings hold too would be learnt from real speech.
    held_out = train.domain(*recipe.held_out)
    source = _without_sentences(train.domain(*sources), [*target_test.sentences, *held_out.sentences])
    if recipe.source_limit is not None:
        source = source.sample(recipe.source_limit, recipe.training.seed)
    if recipe.target_text is not None:
        sentences = read_sentences(recipe.target_text, recipe.target[0])
    else:
        sentences = train.domain(*recipe.target).sentences
    for role, size in (("source", len(source)), ("test", len(target_test)), ("target text", len(sentences))):
        if not size:
            raise UserError(f"{recipe.corpus.manifest}: nothing is left for the role {role!r}; check the selections")
    return Material(source, held_out, target_test, distinct(sentences))


def adaptation_material(source: Path, text: Path, held_out: Sequence[str], test: Path | None) -> Material:
    """Roles for `syn2real adapt`: a manifest of source speech of which some domains are held out, the target's text,
    and recordings of the target, where given, to score only."""
    corpus = Corpus.load(source)
    for name in held_out:
        if name not in corpus.domains:
            raise UserError(f"{source}: no domain {name!r}{did_you_mean(name, corpus.domains)}")
    tested = Corpus.load(test) if test else Corpus.of(())
    proxy = corpus.domain(*held_out)
    return Material(
        source=_without_sentences(corpus.without(*held_out), [*tested.sentences, *proxy.sentences]),
        held_out=proxy,
        test=tested,
        target_text=distinct(read_sentences(text, text.stem)),
    )


def _require_material(recipe: Recipe, material: Material) -> None:
    """Raise `UserError` for a role that is left without clips, before anything is trained."""
    for domain in recipe.held_out:
        if not len(material.held_out.domain(domain)):
            raise UserError(f"held_out: no training clips of domain {domain!r} are left to choose λ on")
    for domain in recipe.rotate:
        if not len(material.source.domain(domain)) or not len(material.source.without(domain)):
            raise UserError(f"rotate: domain {domain!r} and the others must both have source clips")
    if len({sentence_key(u.text) for u in material.source}) < 2:
        raise UserError("the source speech must hold at least 2 different sentences")
    strict = recipe.evaluation.strict
    if (len(material.test) and len(material.test) < 2) or (strict and len(material.target_text) < 4):
        raise UserError("an interval needs at least 2 test recordings, the strict table at least 4 target sentences")


def default_proxies(source: Corpus) -> list[str]:
    """The source domains that take a turn as the target when nobody names any: the three largest of several."""
    sizes = Counter(utterance.domain for utterance in source if utterance.domain is not None)
    return [domain for domain, _ in sizes.most_common(3)] if len(sizes) > 1 else []


def distinct(sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """Each sentence once, in order of first appearance, with an id that depends on the text alone."""
    unique: dict[str, Sentence] = {}
    for sentence in sentences:
        unique.setdefault(sentence_key(sentence.text), sentence)
    return tuple(replace(s, id=f"t{sha256_json(s.text)[:12]}") for s in unique.values())


@dataclass(frozen=True)
class Adapted:
    """The models of a study, before anything is scored on the target."""

    vector: Stage
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
        return self.merged.directory / "model"

    @property
    def merged_model(self) -> Stage:
        """The adapted model as a stage that can be transcribed with."""
        return Stage("syn2real", self.merged.key, self.model)

    @property
    def vector_file(self) -> Path:
        """The SYN2REAL vector τ."""
        return self.vector.directory / VECTOR


class Study:
    """The stages of one recipe in one workspace."""

    def __init__(self, recipe: Recipe, material: Material, workspace: Workspace) -> None:
        _require_material(recipe, material)
        self.recipe = recipe
        self.workspace = workspace
        self.material = material
        Cast.choose(self._synthesis_settings(1))  # a misspelt voice is found before anything is trained
        self.base = resolve_model(recipe.model)
        self._base = Stage("base", _model_key(self.base), self.base)
        self._spoken: dict[str, Stage] = {}

    def adapt(self) -> Adapted:
        """Make the adapted model from text and source speech. No real speech of the target is read."""
        recipe, material = self.recipe, self.material
        say(f"{recipe.title}: {len(material.source)} real source clips, {len(material.target_text)} target sentences")
        vector, real, synthetic = self._source_vector("source", material.source)
        target = self._target_model("target", material.target_text)
        proxies: list[str] = []
        curve: list[CurvePoint] = []
        if recipe.scale is not None:
            scale = recipe.scale
        else:
            proxies, curve = self._choose(vector)
            scale = best_scale(curve)
            say(f"λ = {scale:g}, chosen on {', '.join(proxies)}, without real target speech")
        merged = self._merge(target, vector, scale)
        return Adapted(vector, real, synthetic, target, merged, scale, proxies, curve)

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
        merged = (adapted.scale, adapted.merged_model)
        curve = self._curve("target", adapted.target_synthetic, adapted.vector, test, merged)
        strict = self._strict(adapted) if self.recipe.evaluation.strict else None
        utterances = self._utterances(adapted, test)
        # Described last: the strict table has voices of its own.
        return replace(self.describe(adapted), systems=systems, curve=curve, strict=strict, utterances=utterances)

    # ---- the parts of the study ----------------------------------------------------------------------------------

    def _source_vector(self, name: str, source: Corpus) -> tuple[Stage, Stage, Stage]:
        """τ from real and synthetic speech of the same sentences: (vector, θ_real, θ_syn)."""
        real = self._train(f"{name}-real", source, source.fingerprint)
        sentences = [replace(u.sentence, id=f"s{sha256_json([u.id, u.text])[:12]}") for u in source]
        spoken = self._synthesize(f"{name}-speech", sentences, self.recipe.synthesis.source_renditions)
        synthetic = self._train(f"{name}-synthetic", _corpus(spoken), spoken.key)

        def subtract(directory: Path) -> None:
            vector = Checkpoint.open(real.directory) - Checkpoint.open(synthetic.directory)
            vector.save(directory / VECTOR)

        inputs = {"real": real.key, "synthetic": synthetic.key}
        vector = self.workspace.stage(f"{name}-vector", subtract, version=VECTOR_VERSION, settings={}, inputs=inputs)
        return vector, real, synthetic

    def _target_model(self, name: str, sentences: Sequence[Sentence]) -> Stage:
        """θ_syn^T: the base model fine-tuned on synthetic speech of the sentences."""
        spoken = self._synthesize(f"{name}-speech", list(sentences), self.recipe.synthesis.target_renditions)
        return self._train(f"{name}-synthetic", _corpus(spoken), spoken.key)

    def _choose(self, vector: Stage) -> tuple[list[str], list[CurvePoint]]:
        """Errors by λ, summed over the proxy domains, each with its own synthetic target model and real recordings."""
        recipe, source = self.recipe, self.material.source
        turns = recipe.rotate or ([] if recipe.held_out else default_proxies(source))
        names, curves = [], []
        for number, domain in enumerate(recipe.held_out):
            real = self.material.held_out.domain(domain)
            model = self._target_model(f"held-out{number}", distinct(real.sentences))
            names.append(domain)
            curves.append(self._curve(f"proxy {domain}", model, vector, real))
        folds = [(domain, source.domain(domain), source.without(domain)) for domain in turns]
        if not curves and not folds:
            # One source domain: half of its sentences play the target, the vector comes from the other half.
            folds = [("half of the source sentences", *source.split(0.5, recipe.training.seed, by="text"))]
        for number, (domain, real, others) in enumerate(folds):
            fold_vector, _, _ = self._source_vector(f"fold{number}", _without_sentences(others, real.sentences))
            model = self._target_model(f"proxy{number}", distinct(real.sentences))
            names.append(domain)
            curves.append(self._curve(f"proxy {domain}", model, fold_vector, real))
        return names, [CurvePoint.total(points) for points in zip(*curves, strict=True)]

    def _curve(
        self, name: str, model: Stage, vector: Stage, corpus: Corpus, merged: tuple[float, Stage] | None = None
    ) -> list[CurvePoint]:
        """Errors of θ + λτ at every λ, in the window the models were trained for. Where one of these models was written
        already, as ``merged`` (λ, model), that is heard, and once for all; the others are added in memory."""
        points = []
        for scale in self.recipe.lambdas:
            if merged is not None and scale == merged[0]:
                stage = self._transcribe(f"{name}-λ{scale:g}", merged[1], corpus, "short")
            else:
                stage = self._transcribe(f"{name}-λ{scale:g}", model, corpus, "short", (vector, scale))
            scores = self._score(stage, corpus)
            points.append(CurvePoint(scale, scores.total.errors, scores.total.words))
        return points

    def _merge(self, model: Stage, vector: Stage, scale: float) -> Stage:
        def apply(directory: Path) -> None:
            merged = Checkpoint.open(model.directory) + scale * TaskVector.load(vector.directory / VECTOR)
            write(merged, directory / "model", overwrite=True)

        return self.workspace.stage(
            "merged", apply, version=MERGE_VERSION, settings={"scale": scale}, inputs={"m": model.key, "v": vector.key}
        )

    def _systems(self, adapted: Adapted, full: Sequence[str], tested: Corpus | None = None) -> list[SystemResult]:
        """Every system on the target's real recordings (or those of ``tested``) in short windows, and those of
        ``full`` at 30 s too, each against target-synthetic in the same window."""
        wanted = {u.id for u in (self.material.test if tested is None else tested)}
        tuned = {
            "source-synthetic": adapted.source_synthetic,
            "source-real": adapted.source_real,
            "target-synthetic": adapted.target_synthetic,
            "syn2real": adapted.merged_model,
        }
        # Untouched Whisper loops in short windows, so it is heard at 30 s only.
        heard: dict[tuple[str, Window], Scores] = {("zero-shot", "full"): self._heard(self._base, "full")}
        heard |= {(name, "short"): self._heard(model, "short") for name, model in tuned.items()}
        heard |= {(name, "full"): self._heard(tuned[name], "full") for name in full}
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
        unseen = _without_sentences(self.material.test, spoken)
        target = self._target_model("strict", spoken)
        merged = self._merge(target, adapted.vector, adapted.scale)
        return self._systems(replace(adapted, target_synthetic=target, merged=merged), [], unseen)

    # ---- single stages -------------------------------------------------------------------------------------------

    def _synthesize(self, name: str, sentences: list[Sentence], renditions: int) -> Stage:
        recipe = self.recipe.synthesis
        settings = self._synthesis_settings(renditions)
        stated = recipe.model_dump() | {"renditions": renditions, "language": self.recipe.language}
        stated = {key: value for key, value in stated.items() if not key.endswith("_renditions")}
        stated["engines"] = list(recipe.engines.items())  # a list, for their order decides the draws
        text = sha256_json([[s.id, s.text, s.domain] for s in sentences])

        def speak(directory: Path) -> None:
            synthesize(sentences, settings, directory)

        stage = self.workspace.stage(
            name, speak, version=SYNTHESIS_VERSION, settings=stated, inputs={"sentences": text}
        )
        self._spoken[stage.key] = stage
        return stage

    def _synthesis_settings(self, renditions: int) -> SynthesisSettings:
        recipe = self.recipe.synthesis
        return SynthesisSettings(
            engines=recipe.engines,
            language=self.recipe.language,
            voices=tuple(recipe.voices),
            renditions=renditions,
            commercial_only=recipe.commercial_only,
            seed=recipe.seed,
        )

    def _train(self, name: str, corpus: Corpus, corpus_key: str) -> Stage:
        from syn2real.speech.finetuning import best_precision, finetune

        settings = self.recipe.training.model_dump()
        if settings["precision"] == "auto":
            settings["precision"] = best_precision()

        def train(directory: Path) -> None:
            chosen = TrainingSettings(**settings)
            finetune(self.base, corpus, directory, chosen, language=self.recipe.language, title=f"training {name}")

        inputs = {"model": self._base.key, "corpus": corpus_key}
        stated = settings | {"language": self.recipe.language}
        return self.workspace.stage(name, train, version=TRAINING_VERSION, settings=stated, inputs=inputs)

    def _transcribe(
        self, name: str, model: Stage, corpus: Corpus, window: "Window", shift: tuple[Stage, float] | None = None
    ) -> Stage:
        """Hypotheses of a model, or of model + λ·vector added in memory by the merge core."""
        vector, scale = shift or (None, 0.0)
        inputs = {"model": model.key, "corpus": corpus.fingerprint}
        if vector is not None and scale:
            inputs["vector"] = vector.key

        def transcribe_all(directory: Path) -> None:
            from syn2real.speech.transcription import TranscriptionSettings, transcribe
            from syn2real.speech.whisper import Recogniser, pick_device

            recogniser = Recogniser.load(model.directory, self.recipe.language, pick_device())
            if vector is not None and scale:
                merged = Checkpoint.open(model.directory) + scale * TaskVector.load(vector.directory / VECTOR)
                recogniser.replace_weights(merged.tensor)
            texts = transcribe(recogniser, corpus, TranscriptionSettings(window=window), title=f"hearing {name}")
            write_jsonl(directory / HYPOTHESES, ({"id": key, "pred_text": text} for key, text in texts.items()))

        settings: dict[str, Any] = {"window": window, "language": self.recipe.language, "scale": scale}
        # Not called by `name`: a curve's λ = 0 and the plain model are one stage.
        return self.workspace.stage(
            "hypotheses", transcribe_all, version=TRANSCRIPTION_VERSION, settings=settings, inputs=inputs
        )

    def _heard(self, model: Stage, window: "Window") -> Scores:
        """Scores of a model on the whole test."""
        test = self.material.test
        return self._score(self._transcribe(f"{model.name} ({window})", model, test, window), test)

    def _score(self, hypotheses: Stage, corpus: Corpus) -> Scores:
        texts = read_hypotheses(hypotheses.directory / HYPOTHESES)
        pairs = [Pair(u.id, u.text, texts[u.id], u.speaker, u.domain) for u in corpus]
        return score(pairs, self.recipe.evaluation.normaliser)

    # ---- what the report needs besides ---------------------------------------------------------------------------

    def _data(self) -> StudyData:
        material = self.material
        tested = {sentence_key(utterance.text) for utterance in material.test}
        spoken = [utterance for stage in self._spoken.values() for utterance in _corpus(stage)]
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
        before, after = self._heard(adapted.target_synthetic, "short"), self._heard(adapted.merged_model, "short")
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


def read_hypotheses(path: Path) -> dict[str, str]:
    """Hypotheses by utterance id, as the transcription stage wrote them."""
    return {row["id"]: row["pred_text"] for _, row in read_jsonl(path)}


def _without_sentences(corpus: Corpus, sentences: Sequence[Sentence]) -> Corpus:
    """The utterances that say none of these sentences."""
    known = {sentence_key(sentence.text) for sentence in sentences}
    return corpus.filter(lambda u: sentence_key(u.text) not in known)


def _select(corpus: Corpus, wanted: dict[str, str]) -> Corpus:
    return corpus.filter(lambda u: all(str(_field(u, name)) == value for name, value in wanted.items()))


def _field(utterance: Any, name: str) -> Any:
    return utterance.extra.get(name) if name in utterance.extra else getattr(utterance, name, None)


def _corpus(stage: Stage) -> Corpus:
    return Corpus.load(stage.directory / MANIFEST)


def _model_key(directory: Path) -> str:
    names = sorted(p for p in directory.iterdir() if p.suffix in (".safetensors", ".json", ".bin"))
    return sha256_json([[path.name, sha256_file(path)] for path in names])
