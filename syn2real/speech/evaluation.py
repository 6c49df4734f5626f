"""Everything that `evaluate`, `score` and `compare` say of recognisers, as JSON objects."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import combinations
from typing import Any

from syn2real.errors import UserError
from syn2real.speech.normalisation import Normaliser, normaliser
from syn2real.speech.scoring import Pair, Scores, score
from syn2real.speech.statistics import bootstrap_interval, holm, mapsswe, paired_flips, paired_test
from syn2real.speech.words import Aligned, aligned, confusions, keyword_recall, word_recall

MOST = 20  # confusions of each kind that are listed


def evaluation(
    pairs: Sequence[Pair],
    normalise: Normaliser | str,
    *,
    baseline: Sequence[Pair] | None = None,
    groups: Mapping[str, Mapping[str, str]] | None = None,
    keywords: Sequence[str] = (),
) -> dict[str, Any]:
    """WER with its interval and counts, other rates, the same by domain and group, confusions, keywords, and a test.

    ``groups`` maps what to group by to each utterance's group, by id; ``baseline`` is another system on the same
    references. Raises `UserError` as `score`, `keyword_recall` and `paired_test` do.
    """
    clean = _once(normalise)
    scores = score(pairs, clean)
    rows = list(aligned(pairs, clean))
    record: dict[str, Any] = {
        "normaliser": scores.normaliser,
        "utterances": len(scores),
        **_whole(pairs, scores, clean),
        "domains": {name: rates(part) for name, part in scores.domains.items()},
        "groups": {
            name: {value: rates(part) for value, part in scores.by(lambda u, of=of: of.get(u.id)).items()}  # type: ignore[misc]
            for name, of in (groups or {}).items()
        },
        "confusions": _confusions(rows),
    }
    if keywords:
        record["keywords"] = _keywords(rows, keywords, clean)
    if baseline is not None:
        other = score(baseline, clean)
        record["paired"] = compared(scores, other)
        before = list(aligned(baseline, clean))
        record["words_changed"] = _changed(rows, before)
        if keywords:
            record["paired"]["keywords"] = _keywords(before, keywords, clean)
    return record


def comparison(systems: Mapping[str, Sequence[Pair]], normalise: Normaliser | str) -> dict[str, Any]:
    """Every system's rates, and every two tested against each other, p-values corrected over all pairs by Holm."""
    clean = _once(normalise)
    scores = {name: score(pairs, clean) for name, pairs in systems.items()}
    tests = [{"a": a, "b": b} | compared(scores[a], scores[b]) for a, b in combinations(scores, 2)]
    for name in ("p", "flip_p", "mapsswe_p"):
        for test, corrected in zip(tests, holm([test[name] for test in tests]), strict=True):
            test[f"{name}_holm"] = corrected
    return {
        "normaliser": str(clean),
        "utterances": len(next(iter(scores.values()))),
        "systems": {name: _whole(systems[name], found, clean) for name, found in scores.items()},
        "pairs": tests,
    }


def rates(scores: Scores) -> dict[str, Any]:
    """WER with interval, the other rates, and counts; no WER where no reference has a word, as in silences."""
    total = scores.total
    try:
        interval = bootstrap_interval(scores)
        bounds: dict[str, Any] = {
            "ci_low": interval.low,
            "ci_high": interval.high,
            "ci_unit": interval.unit,
            "ci_units": interval.units,
        }
    except UserError:  # one utterance has a rate and no interval
        units = sum(bool(utterance.counts.words) for utterance in scores)
        bounds = {"ci_low": None, "ci_high": None, "ci_unit": "utterance", "ci_units": units}
    return {
        "wer": scores.rate if total.words else None,
        **bounds,
        "mer": total.match_error_rate,
        "wil": total.information_lost,
        "sentence_error": scores.sentence_error,
        "words": total.words,
        "counts": asdict(total),
    }


def compared(a: Scores, b: Scores) -> dict[str, Any]:
    """System a against system b: paired bootstrap, flipped signs of the same units, and MAPSSWE."""
    return asdict(paired_test(a, b)) | {"flip_p": paired_flips(a, b), "mapsswe_p": mapsswe(a, b).p}


def _once(normalise: Normaliser | str) -> Normaliser:
    """The normaliser, each text going through it once: the same are scored by word, by character and word for word."""
    made = normaliser(normalise) if isinstance(normalise, str) else normalise
    return Normaliser(made.name, made.version, cache(made))


def _whole(pairs: Sequence[Pair], scores: Scores, clean: Normaliser) -> dict[str, Any]:
    """The rates of a system, with those by character and of the text as it is."""
    cer, raw = score(pairs, clean, "character").rate, score(pairs, "none").rate
    return rates(scores) | {"cer": cer, "wer_unnormalised": raw}


def _confusions(rows: Sequence[Aligned]) -> dict[str, Any]:
    found = confusions(rows)
    return {
        "substitutions": [[*pair, count] for pair, count in found.substitutions.most_common(MOST)],
        "deletions": [[word, count] for word, count in found.deletions.most_common(MOST)],
        "insertions": [[word, count] for word, count in found.insertions.most_common(MOST)],
    }


def _keywords(rows: Sequence[Aligned], keywords: Sequence[str], clean: Normaliser) -> dict[str, Any]:
    found = keyword_recall(rows, keywords, clean)

    def row(count: Any) -> dict[str, Any]:
        return asdict(count) | {"recall": count.recall, "precision": count.precision}

    return row(found.total) | {"ci_low": found.low, "ci_high": found.high, "words": [row(w) for w in found.words]}


def _changed(rows: Sequence[Aligned], before: Sequence[Aligned]) -> dict[str, list[Any]]:
    """The words that are found more often than by the baseline, and those less often: word, said, found, found before.

    They are picked by what they show, so they say where the systems differ and not by how much.
    """
    now, then = word_recall(rows), word_recall(before)
    by_change = sorted(now, key=lambda word: (then[word][1] - now[word][1], word))
    rows_of = {word: [word, *now[word], then[word][1]] for word in by_change}
    gained = [rows_of[word] for word in by_change if now[word][1] > then[word][1]]
    lost = [rows_of[word] for word in reversed(by_change) if now[word][1] < then[word][1]]
    return {"gained": gained[:MOST], "lost": lost[:MOST]}


def worst(pairs: Sequence[Pair], normalise: Normaliser) -> list[Pair]:
    """The pairs with errors, those with most first, and the shorter before the longer."""
    counted = {u.id: u.counts for u in score(pairs, normalise)}
    wrong = [pair for pair in pairs if counted[pair.id].errors or counted[pair.id].empty_insertions]
    return sorted(wrong, key=lambda p: (-counted[p.id].errors - counted[p.id].empty_insertions, counted[p.id].words))
