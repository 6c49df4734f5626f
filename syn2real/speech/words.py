"""Errors by word: which words are taken for which, and how many of the words that matter are found.

Rates over all words hide the few that a domain is about. Recall of such keywords (dishes, titles, names) is what its
owner wants to see.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from syn2real.errors import UserError
from syn2real.speech.normalisation import Normaliser
from syn2real.speech.scoring import Edit, Pair, alignments
from syn2real.speech.statistics import Replicates, Resampled, resample


@dataclass(frozen=True)
class Aligned:
    """A pair, word against word."""

    pair: Pair
    edits: list[Edit]

    @cached_property
    def said(self) -> list[str]:
        """The words of the reference."""
        return [edit.reference for edit in self.edits if edit.reference is not None]

    @cached_property
    def heard(self) -> list[str]:
        """The words of the hypothesis."""
        return [edit.hypothesis for edit in self.edits if edit.hypothesis is not None]

    @cached_property
    def match(self) -> list[int | None]:
        """For each word of the reference its place in the hypothesis, where it was heard."""
        found: list[int | None] = []
        place = 0
        for edit in self.edits:
            if edit.reference is not None:
                found.append(place if edit.op == "equal" else None)
            place += edit.hypothesis is not None
        return found


@dataclass(frozen=True)
class Confusions:
    """How often each word was taken for another, dropped and added."""

    substitutions: Counter[tuple[str, str]] = field(default_factory=Counter)
    deletions: Counter[str] = field(default_factory=Counter)
    insertions: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class KeywordCount:
    """How often a keyword was said, was found where it was said, and was heard where it was not."""

    keyword: str
    said: int
    found: int
    invented: int

    @property
    def recall(self) -> float | None:
        """Share of those said that were found."""
        return self.found / self.said if self.said else None

    @property
    def precision(self) -> float | None:
        """Share of those heard that were said."""
        heard = self.found + self.invented
        return self.found / heard if heard else None


@dataclass(frozen=True)
class KeywordRecall:
    """Keywords one by one, those said most first, and all together with a bootstrap interval by speaker."""

    words: tuple[KeywordCount, ...]
    low: float | None
    high: float | None

    @property
    def total(self) -> KeywordCount:
        """All keywords together."""
        sums = (sum(getattr(word, name) for word in self.words) for name in ("said", "found", "invented"))
        return KeywordCount("all", *sums)


def aligned(pairs: Sequence[Pair], normalise: Normaliser) -> Iterator[Aligned]:
    """Every pair after normalisation, word against word."""
    edits = alignments([normalise(p.reference) for p in pairs], [normalise(p.hypothesis) for p in pairs])
    return map(Aligned, pairs, edits)


def confusions(rows: Iterable[Aligned]) -> Confusions:
    """Counts over all pairs."""
    found = Confusions()
    for row in rows:
        for op, said, heard in row.edits:
            if op == "substitute":
                found.substitutions[str(said), str(heard)] += 1
            elif op == "delete":
                found.deletions[str(said)] += 1
            elif op == "insert":
                found.insertions[str(heard)] += 1
    return found


def word_recall(rows: Iterable[Aligned]) -> dict[str, tuple[int, int]]:
    """Of every word of the references, how often it was said and how often found."""
    said: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for row in rows:
        said.update(row.said)
        found.update(word for word, place in zip(row.said, row.match, strict=True) if place is not None)
    return {word: (count, found[word]) for word, count in said.items()}


def keyword_recall(
    rows: Sequence[Aligned], keywords: Iterable[str], normalise: Normaliser, level: float = 0.95, draws: int = 10_000
) -> KeywordRecall:
    """How many of the keywords (words or phrases) said were found; a phrase is, when all its words are, in one piece.

    Keywords go through the normaliser too. The interval draws speakers where all are known, else utterances. Raises
    `UserError` when no keyword is said in the references.
    """
    phrases = {phrase: tuple(phrase.split()) for phrase in dict.fromkeys(map(normalise, keywords)) if phrase}
    by_first: dict[str, list[str]] = {}
    for phrase, words in phrases.items():
        by_first.setdefault(words[0], []).append(phrase)
    said, found, heard = Counter[str](), Counter[str](), Counter[str]()
    units: dict[str, np.ndarray] = {}
    speakers = all(row.pair.speaker for row in rows) and len({row.pair.speaker for row in rows}) > 1
    for row in rows:
        tally = units.setdefault((row.pair.speaker or "") if speakers else row.pair.id, np.zeros(2, dtype=np.int64))
        for place, phrase in _occurrences(row.said, by_first, phrases):
            matched = row.match[place : place + len(phrases[phrase])]
            start = matched[0]
            whole = start is not None and matched == list(range(start, start + len(matched)))
            said[phrase] += 1
            found[phrase] += whole
            tally += (1, int(whole))
        heard.update(phrase for _, phrase in _occurrences(row.heard, by_first, phrases))
    if not said:
        raise UserError("none of the keywords is said in the references; are they spelt as the references are?")
    counts = [KeywordCount(p, said[p], found[p], max(0, heard[p] - found[p])) for p in phrases if said[p] or heard[p]]
    counts.sort(key=lambda count: (-count.said, count.keyword))
    recall = KeywordRecall(tuple(counts), None, None)
    if len(units) < 2:
        return recall
    sums = resample(np.stack(list(units.values())), draws)
    with np.errstate(invalid="ignore"):  # 0 / 0, where nobody drawn said a keyword
        drawn = sums[:, 1] / sums[:, 0]
    unit: Resampled = "speaker" if speakers else "utterance"
    interval = Replicates(found.total() / said.total(), drawn, unit, len(units)).interval(level)
    return replace(recall, low=interval.low, high=interval.high)


def _occurrences(
    words: Sequence[str], by_first: dict[str, list[str]], phrases: dict[str, tuple[Any, ...]]
) -> Iterator[tuple[int, str]]:
    for place, word in enumerate(words):
        for phrase in by_first.get(word, ()):
            if tuple(words[place : place + len(phrases[phrase])]) == phrases[phrase]:
                yield place, phrase
