"""Everything that `evaluate`, `score` and `compare` say of recognisers, as JSON objects."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from syn2real.errors import UserError
from syn2real.resampling import holm
from syn2real.speech.counts import CountTable
from syn2real.speech.normalisation import Normaliser, normaliser
from syn2real.speech.scoring import Pair
from syn2real.speech.statistics import bootstrap_interval, mapsswe, paired_flips, paired_test
from syn2real.speech.survey import Groups, Part, Survey, Worst, survey
from syn2real.speech.words import Confusions, Keywords, WordRecall

MOST = 20  # confusions of each kind that are listed


def evaluation(
    pairs: Iterable[Pair],
    normalise: Normaliser | str,
    *,
    baseline: Iterable[Pair] | None = None,
    groups: Mapping[str, Callable[[Pair], str | None]] | None = None,
    keywords: Sequence[str] = (),
    worst: Worst | None = None,
) -> dict[str, Any]:
    """WER with its interval and counts, other rates, the same by domain and group, confusions, keywords, and a test.

    ``groups`` maps what to group by to a function that tells a pair's group; ``baseline`` is another system on the same
    references; ``worst`` keeps the worst pairs. Pairs are taken as they come and not kept. Raises `UserError` as
    `CountRows.table`, `Keywords.recall` and `paired_test` do.
    """
    clean = normaliser(normalise) if isinstance(normalise, str) else normalise
    by = {name: Groups(of) for name, of in {"": _domain, **(groups or {})}.items()}
    wrong = Confusions()
    words, words_before = WordRecall(), WordRecall()
    wanted, wanted_before = Keywords(keywords, clean), Keywords(keywords, clean)
    parts: list[Part] = [*by.values(), wrong]
    parts += [wanted] if keywords else []
    parts += [worst] if worst is not None else []
    if baseline is None:
        (found,) = survey([(pairs, parts)], clean)
    else:
        before_parts: list[Part] = [words_before, wanted_before] if keywords else [words_before]
        found, before = survey([(pairs, [*parts, words]), (baseline, before_parts)], clean)
    scores = found.table(str(clean))
    whole = _whole(found, scores)
    divided = {
        name: {value: _part(rates(part), whole) for value, part in scores.by(of.labels).items()}
        for name, of in by.items()
    }
    record: dict[str, Any] = {
        "normaliser": scores.normaliser,
        "utterances": len(scores),
        **whole,
        "domains": divided.pop(""),
        "groups": divided,
        "confusions": _confusions(wrong),
    }
    if keywords:
        record["keywords"] = _keywords(wanted, scores)
    if baseline is not None:
        other = before.table(str(clean))
        record["paired"] = compared(scores, other)
        record["words_changed"] = _changed(words, words_before)
        if keywords:
            record["paired"]["keywords"] = _keywords(wanted_before, other)
    return record


def comparison(systems: Mapping[str, Iterable[Pair]], normalise: Normaliser | str) -> dict[str, Any]:
    """Every system's rates, and every two tested against each other, p-values corrected over all pairs by Holm."""
    clean = normaliser(normalise) if isinstance(normalise, str) else normalise
    found = dict(zip(systems, survey([(pairs, ()) for pairs in systems.values()], clean), strict=True))
    scores = {name: system.table(str(clean)) for name, system in found.items()}
    tests = [{"a": a, "b": b} | compared(scores[a], scores[b]) for a, b in combinations(scores, 2)]
    for name in ("p", "flip_p", "mapsswe_p"):
        for test, corrected in zip(tests, holm([test[name] for test in tests]), strict=True):
            test[f"{name}_holm"] = corrected
    return {
        "normaliser": str(clean),
        "utterances": len(next(iter(scores.values()))),
        "systems": {name: _whole(system, scores[name]) for name, system in found.items()},
        "pairs": tests,
    }


def rates(scores: CountTable) -> dict[str, Any]:
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
        units = int((scores.words > 0).sum())
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


def compared(a: CountTable, b: CountTable) -> dict[str, Any]:
    """System a against system b: paired bootstrap, flipped signs of the same units, and MAPSSWE."""
    return asdict(paired_test(a, b)) | {"flip_p": paired_flips(a, b), "mapsswe_p": mapsswe(a, b).p}


def _domain(pair: Pair) -> str | None:
    return pair.domain


def _whole(found: Survey, scores: CountTable) -> dict[str, Any]:
    """The rates of a system, with those by character and of the text as it is."""
    return rates(scores) | {"cer": found.characters.rate, "wer_unnormalised": found.unnormalised.rate}


def _part(found: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """The rates of a part. Where the whole is resampled by speaker, a part of one speaker has no interval: one by
    utterance would be too narrow, and stand among others that are not."""
    if whole["ci_unit"] == "speaker" and found["ci_unit"] == "utterance":
        units = int(found["words"] > 0)
        return found | {"ci_low": None, "ci_high": None, "ci_unit": "speaker", "ci_units": units}
    return found


def _confusions(found: Confusions) -> dict[str, Any]:
    return {
        "substitutions": [[*pair, count] for pair, count in found.substitutions.most_common(MOST)],
        "deletions": [[word, count] for word, count in found.deletions.most_common(MOST)],
        "insertions": [[word, count] for word, count in found.insertions.most_common(MOST)],
    }


def _keywords(counted: Keywords, scores: CountTable) -> dict[str, Any]:
    found = counted.recall(scores)

    def row(count: Any) -> dict[str, Any]:
        return asdict(count) | {"recall": count.recall, "precision": count.precision}

    return row(found.total) | {"ci_low": found.low, "ci_high": found.high, "words": [row(w) for w in found.words]}


def _changed(now: WordRecall, then: WordRecall) -> dict[str, list[Any]]:
    """The words that are found more often than by the baseline, and those less often: word, said, found, found before.

    They are picked by what they show, so they say where the systems differ and not by how much.
    """
    by_change = sorted(now.said, key=lambda word: (then.found[word] - now.found[word], word))
    rows_of = {word: [word, now.said[word], now.found[word], then.found[word]] for word in by_change}
    gained = [rows_of[word] for word in by_change if now.found[word] > then.found[word]]
    lost = [rows_of[word] for word in reversed(by_change) if now.found[word] < then.found[word]]
    return {"gained": gained[:MOST], "lost": lost[:MOST]}
