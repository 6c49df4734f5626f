"""How like each other sentences are: the Jaccard index of their parts, which are words or neighbouring words."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from itertools import pairwise

Parts = Callable[[str], frozenset[Hashable]]


def pairs(text: str) -> frozenset[Hashable]:
    """Neighbouring words, with the sentence's ends: tells sentences in another order apart."""
    return frozenset(pairwise(["", *text.split(), ""]))


def words(text: str) -> frozenset[Hashable]:
    """Words in any order and case, without punctuation."""
    return frozenset("".join(c if c.isalnum() else " " for c in text.lower()).split())


class Neighbours:
    """Sentences, and how like the nearest of them another is."""

    def __init__(self, texts: Iterable[str] = (), parts: Parts = pairs) -> None:
        self._parts = parts
        self._places: defaultdict[Hashable, list[int]] = defaultdict(list)
        self._sizes: list[int] = []
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._sizes)

    def nearest(self, text: str) -> float:
        """From 0, no part in common with any, to 1."""
        parts = self._parts(text)
        shared = Counter(place for part in parts for place in self._places.get(part, ()))
        return max((n / (len(parts) + self._sizes[place] - n) for place, n in shared.items()), default=0.0)

    def add(self, text: str) -> None:
        """Know a further sentence."""
        parts = self._parts(text)
        for part in parts:
            self._places[part].append(len(self._sizes))
        self._sizes.append(len(parts))
