"""What an adaptation works on: source recordings, the target's text, and recordings of the target to score on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from syn2real.errors import UserError, did_you_mean
from syn2real.experiments.recipe import SourceRecipe, StudyRecipe
from syn2real.hashing import seed_from
from syn2real.progress import say
from syn2real.speech.corpus import Corpus, Fields, Manifest, Sentence, distinct, read_sentences, sentence_key


@dataclass(frozen=True)
class Material:
    """Recordings by role, and the target's text."""

    source: Corpus  # real, for θ_real^S; holds no sentence of the test
    held_out: Corpus  # real, chooses λ, in no vector
    test: Corpus  # real recordings of the target, read for scoring only
    target_text: tuple[Sentence, ...]


def load_material(recipe: SourceRecipe) -> Material:
    """Read the corpus and give every recording its role.

    The target's real training speech gives its text and nothing else: its audio is not opened. Raises `UserError` for
    unknown domains or a role without recordings.
    """
    manifest = Manifest.read(recipe.corpus.manifest)
    domains = {row["domain"] for _, row in manifest.rows if row.get("domain")}
    for name in [*recipe.target, *recipe.sources, *recipe.held_out, *recipe.rotate]:
        if name not in domains:
            raise UserError(f"{recipe.corpus.manifest}: no domain {name!r}{did_you_mean(name, domains)}")
    for split in ("train", "test"):
        manifest.require(Fields(getattr(recipe.corpus, split)), f"corpus.{split}")
    train, test = manifest.select(Fields(recipe.corpus.train)), manifest.select(Fields(recipe.corpus.test))
    sources = recipe.sources or sorted(domains - {*recipe.target, *recipe.held_out})
    target_test = _domains(test, recipe.target).corpus()
    if recipe.test_limit is not None:
        target_test = target_test.sample(recipe.test_limit, recipe.training.seed)
    # A sentence that the source recordings hold too would be learnt from real speech.
    held_out = _domains(train, recipe.held_out).corpus()
    source = without_sentences(_domains(train, sources).corpus(), [*target_test.sentences, *held_out.sentences])
    if recipe.source_limit is not None:
        source = source.sample(recipe.source_limit, recipe.training.seed)
    if recipe.target_text is not None:
        sentences = read_sentences(recipe.target_text, next(iter(recipe.target), None))
    else:
        sentences = _domains(train, recipe.target).sentences
    tested = {"test": len(target_test), "target text": len(sentences)} if recipe.target else {}
    for role, size in {"source": len(source), **tested}.items():
        if not size:
            raise UserError(f"{recipe.corpus.manifest}: nothing is left for the role {role!r}; check the selections")
    return Material(source, held_out, target_test, distinct(sentences))


def adaptation_material(source: Path, text: Path, held_out: Sequence[str], test: Path | None) -> Material:
    """Roles for `syn2real adapt`: a manifest of source speech of which some domains are held out, the target's text,
    and recordings of the target, where given, to score only.

    A source domain that is called as the target is left out: its speech is the target's.
    """
    sentences = read_sentences(text, text.stem)
    corpus = Corpus.load(source)
    targets = sorted({text.stem, *(sentence.domain or "" for sentence in sentences)} & {*corpus.domains})
    if named := [name for name in held_out if name in targets]:
        raise UserError(f"--held-out {named[0]}: is the target's own domain, by the name of {text.name}; name others")
    if targets:
        known = corpus.domain(*targets)
        say(f"{source}: {len(known)} clips of domain {', '.join(targets)} are left out, for it is the target")
        corpus = corpus.without(*targets)
    for name in held_out:
        if name not in corpus.domains:
            raise UserError(f"{source}: no domain {name!r}{did_you_mean(name, corpus.domains)}")
    tested = Corpus.load(test) if test else Corpus.of(())
    proxy = corpus.domain(*held_out)
    return Material(
        source=without_sentences(corpus.without(*held_out), [*tested.sentences, *proxy.sentences]),
        held_out=proxy,
        test=tested,
        target_text=distinct(sentences),
    )


def require_material(recipe: SourceRecipe, material: Material) -> None:
    """Raise `UserError` for a role that is left without clips, before anything is trained."""
    for domain in recipe.held_out:
        if not len(material.held_out.domain(domain)):
            raise UserError(f"held_out: no training clips of domain {domain!r} are left to choose λ on")
    for domain in turns(recipe, material.source):
        played, others = material.source.domain(domain), material.source.without(domain)
        if not len(played) or not len(others):
            raise UserError(f"rotate: domain {domain!r} and the others must both have source clips")
        if recipe.scale is None and not len(without_sentences(others, played.sentences)):
            raise UserError(
                f"rotate: the other source domains say nothing that {domain!r} does not, so that no vector is left to "
                "choose λ with while it plays the target; hold out a domain, or give λ"
            )
    if len({sentence_key(u.text) for u in material.source}) < 2:
        raise UserError("the source speech must hold at least 2 different sentences")
    require_intervals(recipe, material.test, material.target_text)


def require_intervals(recipe: StudyRecipe, test: Corpus, text: Sequence[Sentence]) -> None:
    """Raise `UserError` for too few test recordings or sentences to say how sure a figure is; none at all is no
    harm."""
    strict = recipe.evaluation.strict
    if (len(test) and len(test) < 2) or (strict and len(text) < 4):
        raise UserError("an interval needs at least 2 test recordings, the strict table at least 4 target sentences")
    if strict and len(test):
        left = len(strict_halves(recipe, test, text)[1])
        if left < 2:
            raise UserError(
                "evaluation.strict: half of the target's sentences are synthesised, and the recordings that say none "
                f"of these are tested; of {len(test)} only {left} would be left, and 2 are needed: give more test "
                "recordings, or leave it out"
            )


def strict_halves(recipe: StudyRecipe, test: Corpus, text: Sequence[Sentence]) -> tuple[list[Sentence], Corpus]:
    """For the strict table: half of the target's sentences, to be synthesised, and the recordings that say none of
    them."""
    ranked = sorted(text, key=lambda s: seed_from(recipe.training.seed, "strict", s.text))
    spoken = ranked[: len(ranked) // 2]
    return spoken, without_sentences(test, spoken)


def turns(recipe: SourceRecipe, source: Corpus) -> list[str]:
    """Source domains that take a turn as the target to choose λ on."""
    return recipe.rotate or ([] if recipe.held_out else default_proxies(source))


def default_proxies(source: Corpus) -> list[str]:
    """The source domains that take a turn as the target when nobody names any: the three largest of several."""
    sizes = Counter(utterance.domain for utterance in source if utterance.domain is not None)
    return [domain for domain, _ in sizes.most_common(3)] if len(sizes) > 1 else []


def without_sentences(corpus: Corpus, sentences: Iterable[Sentence]) -> Corpus:
    """The utterances that say none of these sentences."""
    known = {sentence_key(sentence.text) for sentence in sentences}
    return corpus.filter(lambda u: sentence_key(u.text) not in known)


def _domains(manifest: Manifest, names: Sequence[str]) -> Manifest:
    return manifest.select(lambda row: row.get("domain") in names)
