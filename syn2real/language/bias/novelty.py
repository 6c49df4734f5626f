"""How varied sentences are: how like each other, and how much the next is like those before."""

from collections.abc import Iterable, Sequence

from syn2real.errors import NotInstalled
from syn2real.hashing import seed_from
from syn2real.language.bias.cases import Case, key
from syn2real.language.likeness import Neighbours

LIKE = 0.6  # of the pairs of words that two cases have: as many in common and they are near duplicates


def distinct(cases: Iterable[Case], like: float = LIKE) -> tuple[list[Case], int]:
    """The cases of which none before is a near duplicate, and how many are left out."""
    known, found, left = Neighbours(), [], 0
    for case in cases:
        words = key(case)
        if known.nearest(words) >= like:
            left += 1
            continue
        known.add(words)
        found.append(case)
    return found, left


def self_bleu(texts: Sequence[str], most: int = 100) -> dict[str, float]:
    """Self-BLEU 1 to 4 (Zhu et al., SIGIR 2018), 0 to 100: the mean BLEU of each text with all others as references,
    by sacrebleu, smoothed. High where texts repeat each other, 0 where there are no two. Of more than ``most`` texts so
    many are drawn, always the same of the same, for it takes their square."""
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise NotInstalled("sacrebleu", "bias") from error
    chosen = sorted(texts, key=lambda text: seed_from("self-bleu", text))[:most]
    if len(chosen) < 2:
        return dict.fromkeys("1234", 0.0)
    found = {}
    for order in (1, 2, 3, 4):
        metric = BLEU(max_ngram_order=order, effective_order=True, lowercase=True)
        scores = [
            metric.sentence_score(text, chosen[:place] + chosen[place + 1 :]).score for place, text in enumerate(chosen)
        ]
        found[str(order)] = sum(scores) / len(scores)
    return found
