"""Which recordings and which text each part of a study may use.

In a target's cell its real training and development recordings are opened for the topline alone: of its training lines
only the text is taken, and its test recordings are read for scoring. No sentence that is tested anywhere is in any
training.
"""

from collections.abc import Callable, Iterable, Sequence
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
        self._corpora: dict[tuple[str, ...], Corpus] = {}
        self._texts: dict[str, tuple[Sentence, ...]] = {}
        self._parts: dict[tuple[str, str], Manifest] = {}
        self.domains = sorted({row["domain"] for _, row in self._manifest.rows if row.get("domain")})
        named = [*recipe.targets, *recipe.sources.domains, *(name for fold in recipe.folds for name in fold)]
        for name in named:
            if name not in self.domains:
                raise UserError(f"{recipe.corpus.manifest}: no domain {name!r}{did_you_mean(name, self.domains)}")
        self.targets = tuple(recipe.targets or [name for fold in recipe.folds for name in fold] or self.domains)
        if not self.targets:
            raise UserError(f"{recipe.corpus.manifest}: no line has a `domain`, by which source and target are told")
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
        if limit is None:
            return found
        return self._once(("tested", domain), lambda: found.sample(limit, self.recipe.sources.seed))

    def elsewhere(self, target: str) -> Corpus:
        """A sample of the other domains' test recordings."""

        def make() -> Corpus:
            others = [self.test(name) for name in self.domains if name != target and self._lines("test", name).rows]
            return _joined(others).sample(self.recipe.evaluation.elsewhere, self.recipe.sources.seed)

        return self._once(("elsewhere", target), make)

    def text(self, domain: str) -> tuple[Sentence, ...]:
        """The distinct sentences of a domain's training lines; of these lines no audio is opened."""
        if domain not in self._texts:
            self._texts[domain] = distinct(self._untested(self._lines("train", domain).sentences))
        return self._texts[domain]

    def removed(self, domain: str) -> int:
        """How many of a domain's sentences were taken out of its text, for they are tested."""
        return len(distinct(self._lines("train", domain).sentences)) - len(self.text(domain))

    def tested(self, domain: str) -> int:
        """How many sentences of a domain's text are tested too; none, unless such are kept."""
        return sum(sentence_key(sentence.text) in self._tested for sentence in self.text(domain))

    def source(self, domains: Sequence[str]) -> Corpus:
        """Real training recordings of several domains: balanced and limited as the recipe says."""
        recipe = self.recipe.sources

        def make() -> Corpus:
            corpora = [self.train(domain) for domain in domains]
            if recipe.balanced:
                share = min(len(corpus) for corpus in corpora)
                if recipe.limit is not None:
                    share = max(1, min(share, recipe.limit // len(corpora)))
                corpora = [corpus.sample(share, recipe.seed) for corpus in corpora]
            whole = _joined(corpora)
            return whole if recipe.limit is None else whole.sample(recipe.limit, recipe.seed)

        return self._once(("source", *domains), make)

    def source_dev(self, domains: Sequence[str]) -> Corpus:
        """Development recordings of those of these domains that have any. Raises `UserError` where none has."""
        having = [domain for domain in domains if self._judges(domain)]
        if not having:
            raise UserError(f"{self._manifest.path}: no dev recordings of {', '.join(domains)}")
        return self._once(("source dev", *domains), lambda: _joined([self.dev(domain) for domain in having]))

    # ---- folds ---------------------------------------------------------------------------------------------------

    def fold(self, target: str, count: int | None = None, draw: int = 0) -> Fold:
        """The fold of a target: with ``count``, that many source domains drawn at random. A domain whose training
        sentences are all tested is no source, one without development recordings or text no proxy. Where only some
        may be proxies, it is those with the most recordings."""
        group = next((fold for fold in self.recipe.folds if target in fold), [target])
        allowed = self.recipe.sources.domains or self.domains
        sources = [name for name in self.trained(allowed) if name not in group]
        if count is not None:
            if count > len(sources):
                raise UserError(f"sources.count: {count} domains wanted, {target!r} has {len(sources)} others")
            random = Random(seed_from(self.recipe.sources.seed, "sources", target, count, draw))
            sources = sorted(random.sample(sources, count))
        fellows = [name for name in group if name != target]
        proxies = fellows or (sources if len(sources) > 1 else [])
        proxies = [name for name in proxies if self.can_stand_in(name)]
        most = self.recipe.scale.proxies
        if most is not None and most < len(proxies):
            proxies = sorted(sorted(proxies, key=self._judging, reverse=True)[:most])
        return Fold(target, tuple(sources), tuple(proxies))

    def trained(self, domains: Iterable[str]) -> list[str]:
        """Those of these domains with real training recordings that are not tested."""
        return [name for name in domains if self._has("train", name)]

    def can_stand_in(self, domain: str) -> bool:
        """Whether a domain can play the target: it has text, and recordings to hear."""
        return bool(self.text(domain)) and self._judges(domain)

    # ---- lines ---------------------------------------------------------------------------------------------------

    def _is(self, split: str) -> Fields:
        return Fields(getattr(self.recipe.corpus, split) or {})

    def _lines(self, split: str, domain: str) -> Manifest:
        if (split, domain) not in self._parts:
            wanted = self._is(split)
            found = self._manifest.select(lambda row: row.get("domain") == domain and wanted(row))
            self._parts[split, domain] = found
        return self._parts[split, domain]

    def _corpus(self, split: str, domain: str) -> Corpus:
        def make() -> Corpus:
            corpus = self._lines(split, domain).corpus()
            if split == "train":
                corpus = corpus.filter(lambda u: sentence_key(u.text) not in self._tested)
            if not len(corpus):
                raise UserError(f"{self._manifest.path}: domain {domain!r} has no {split} recordings left")
            return corpus

        return self._once((split, domain), make)

    def _once(self, key: tuple[str, ...], make: Callable[[], Corpus]) -> Corpus:
        """A role's recordings, the same object each time: their audio is hashed once only."""
        if key not in self._corpora:
            self._corpora[key] = make()
        return self._corpora[key]

    def _has(self, split: str, domain: str) -> bool:
        """Whether `_corpus` finds any, told by the lines alone."""
        tested = self._tested if split == "train" else frozenset()
        return any(sentence_key(row["text"]) not in tested for _, row in self._lines(split, domain).rows)

    def _judges(self, domain: str) -> bool:
        return self._has(self._judging_split, domain)

    def _judging(self, domain: str) -> int:
        """How many recordings a domain is heard on as a proxy."""
        return len(self._lines(self._judging_split, domain).rows)

    @property
    def _judging_split(self) -> str:
        return "dev" if self.recipe.corpus.dev is not None else "train"

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
        """Raise `UserError` for a target that lacks what the recipe needs, before anything is trained."""
        recipe, path = self.recipe, self._manifest.path
        for split in ("train", "dev", "test"):
            self._manifest.require(self._is(split), f"corpus.{split}")
        for target in self.targets:
            if not self.text(target):
                known = recipe.corpus.train or recipe.corpus.test
                problem = (
                    "" if known else ": every line is; say which are by their fields, as corpus.test: {split: test}"
                )
                raise UserError(f"{path}: domain {target!r} has no text that is not tested{problem}")
            if len(self._lines("test", target).rows) < 2:
                raise UserError(f"{path}: domain {target!r} has fewer than 2 test recordings")
            if recipe.selection == "target-dev" and not self._judges(target):
                raise UserError(f"{path}: selection: domain {target!r} has no dev recordings")
            for count in recipe.counts:
                fold = self.fold(target, count)
                if not fold.sources:
                    raise UserError(f"no source domain is left for target {target!r}")
                if recipe.chooses and recipe.scale.by == "proxies" and not fold.proxies:
                    raise UserError(
                        f"{target}: no proxy is left to choose λ on; name more domains, a fixed λ or `by: source-dev`"
                    )
                if "source-dev" in (recipe.selection, recipe.scale.by) and not any(map(self._judges, fold.sources)):
                    raise UserError(f"{path}: no source domain of target {target!r} has dev recordings")
            others = sum(len(self._lines("test", name).rows) for name in self.domains if name != target)
            if recipe.evaluation.elsewhere and others < 2:
                raise UserError(f"{path}: evaluation.elsewhere: no domain but {target!r} has 2 test recordings")
        for kind in recipe.vectors:
            if kind not in ("domain", "engine", "lora") and not any(kind in row for _, row in self._manifest.rows):
                raise UserError(f"vectors: no line of {path} has a field {kind!r}; give one, or domain, engine or lora")


def _joined(corpora: Iterable[Corpus]) -> Corpus:
    return Corpus.of(utterance for corpus in corpora for utterance in corpus)
