"""Which recordings and which text each part of a study may use.

The target's real training and development recordings are never opened: of its training lines only the text is taken,
and its test recordings are read for scoring. No sentence that is tested anywhere is in any training.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from syn2real.errors import UserError, did_you_mean
from syn2real.experiments.grid_recipe import GridRecipe
from syn2real.hashing import seed_from
from syn2real.speech.corpus import Corpus, Fields, Manifest, Sentence, distinct, sentence_key


@dataclass(frozen=True)
class Fold:
    """A target, the domains whose speech makes its vector, and the proxies that choose its λ.

    A proxy outside of ``sources`` is in no vector. One inside takes a turn: its own vector comes from the others.
    """

    target: str
    sources: tuple[str, ...]
    proxies: tuple[str, ...]

    def sources_for(self, proxy: str) -> tuple[str, ...]:
        """What makes the vector with which ``proxy`` plays the target."""
        return tuple(domain for domain in self.sources if domain != proxy)


class Roles:
    """The corpus of a grid by role; a role's recordings are opened when they are first asked for."""

    def __init__(self, recipe: GridRecipe) -> None:
        self.recipe = recipe
        self._manifest = Manifest.read(recipe.corpus.manifest)
        self._corpora: dict[tuple[str, str], Corpus] = {}
        self.domains = sorted({row["domain"] for _, row in self._manifest.rows if row.get("domain")})
        named = [*recipe.targets, *recipe.sources.domains, *(name for fold in recipe.folds for name in fold)]
        for name in named:
            if name not in self.domains:
                raise UserError(f"{recipe.corpus.manifest}: no domain {name!r}{did_you_mean(name, self.domains)}")
        self.targets = tuple(recipe.targets or [name for fold in recipe.folds for name in fold] or self.domains)
        self._require()

    # ---- roles ---------------------------------------------------------------------------------------------------

    def train(self, domain: str) -> Corpus:
        """Real training recordings of a source domain, without any sentence that is tested."""
        return self._corpus("train", domain)

    def dev(self, domain: str) -> Corpus:
        """Real recordings that choose λ or a checkpoint: dev speakers where there are any, else training clips."""
        return self._corpus("dev" if self.recipe.corpus.dev is not None else "train", domain)

    def test(self, domain: str) -> Corpus:
        """Real test recordings of a target."""
        found = self._corpus("test", domain)
        limit = self.recipe.evaluation.test_limit
        return found if limit is None else found.sample(limit, self.recipe.sources.seed)

    def elsewhere(self, target: str) -> Corpus:
        """A sample of the other domains' test recordings."""
        others = [self.test(name) for name in self.domains if name != target and self._lines("test", name).rows]
        whole = Corpus.of(utterance for corpus in others for utterance in corpus)
        return whole.sample(self.recipe.evaluation.elsewhere, self.recipe.sources.seed)

    def text(self, domain: str) -> tuple[Sentence, ...]:
        """The distinct sentences of a domain's training lines; of these lines no audio is opened."""
        return distinct(self._untested(self._lines("train", domain).sentences))

    def removed(self, domain: str) -> int:
        """How many of a domain's sentences were taken out of its text, for they are tested."""
        return len(distinct(self._lines("train", domain).sentences)) - len(self.text(domain))

    def source(self, domains: Sequence[str]) -> Corpus:
        """Real training recordings of several domains: balanced and limited as the recipe says."""
        corpora = [self.train(domain) for domain in domains]
        recipe = self.recipe.sources
        if recipe.balanced:
            share = min(len(corpus) for corpus in corpora)
            if recipe.limit is not None:
                share = max(1, min(share, recipe.limit // len(corpora)))
            corpora = [corpus.sample(share, recipe.seed) for corpus in corpora]
        whole = Corpus.of(utterance for corpus in corpora for utterance in corpus)
        return whole if recipe.limit is None else whole.sample(recipe.limit, recipe.seed)

    # ---- folds ---------------------------------------------------------------------------------------------------

    def fold(self, target: str, count: int | None = None, draw: int = 0) -> Fold:
        """The fold of a target: with ``count``, that many source domains drawn at random."""
        group = next((fold for fold in self.recipe.folds if target in fold), [target])
        allowed = self.recipe.sources.domains or self.domains
        sources = [name for name in allowed if name not in group and self._lines("train", name).rows]
        if count is not None:
            if count > len(sources):
                raise UserError(f"sources.count: {count} domains wanted, {target!r} has {len(sources)} others")
            random = Random(seed_from(self.recipe.sources.seed, "sources", target, count, draw))
            sources = sorted(random.sample(sources, count))
        fellows = [name for name in group if name != target]
        proxies = fellows or (sources if len(sources) > 1 else [])
        most = self.recipe.scale.proxies
        if most is not None and most < len(proxies):
            proxies = sorted(Random(seed_from(self.recipe.sources.seed, "proxies", target)).sample(proxies, most))
        return Fold(target, tuple(sources), tuple(proxies))

    @cached_property
    def speakers_shared(self) -> int:
        """How many speakers of the test are heard in training too; 0 where speakers are not named."""
        train, test = (
            {row.get("speaker") for _, row in self._manifest.select(self._is(split)).rows}
            for split in ("train", "test")
        )
        return len((train & test) - {None})

    # ---- lines ---------------------------------------------------------------------------------------------------

    def _is(self, split: str) -> Fields:
        return Fields(getattr(self.recipe.corpus, split) or {})

    def _lines(self, split: str, domain: str) -> Manifest:
        wanted = self._is(split)
        return self._manifest.select(lambda row: row.get("domain") == domain and wanted(row))

    def _corpus(self, split: str, domain: str) -> Corpus:
        if (split, domain) not in self._corpora:
            corpus = self._lines(split, domain).corpus()
            if split == "train":
                corpus = corpus.filter(lambda u: sentence_key(u.text) not in self._tested)
            if not len(corpus):
                raise UserError(f"{self._manifest.path}: domain {domain!r} has no {split} recordings left")
            self._corpora[split, domain] = corpus
        return self._corpora[split, domain]

    @cached_property
    def _tested(self) -> frozenset[str]:
        """Sentences of the test, and of the development recordings where there are any."""
        splits = ["test", *(["dev"] if self.recipe.corpus.dev is not None else [])]
        lines = [self._manifest.select(self._is(split)) for split in splits]
        return frozenset(sentence_key(row["text"]) for part in lines for _, row in part.rows)

    def _untested(self, sentences: Iterable[Sentence]) -> list[Sentence]:
        if self.recipe.keep_duplicates:
            return list(sentences)
        return [sentence for sentence in sentences if sentence_key(sentence.text) not in self._tested]

    def _require(self) -> None:
        """Raise `UserError` for a target without text or test, before anything is trained."""
        for target in self.targets:
            if not self.text(target):
                raise UserError(f"{self._manifest.path}: domain {target!r} has no text that is not tested")
            if len(self._lines("test", target).rows) < 2:
                raise UserError(f"{self._manifest.path}: domain {target!r} has fewer than 2 test recordings")
            for count in self.recipe.counts:
                if not self.fold(target, count).sources:
                    raise UserError(f"no source domain is left for target {target!r}")
