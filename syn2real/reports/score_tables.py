"""What `evaluate`, `score` and `compare` found, as tables for the terminal and the page."""

from typing import Any

from syn2real.reports.table import Row, Table
from syn2real.reports.wording import bounds, p_value, percent, signed

_RATES = ("WER", "95 % interval", "S / D / I", "words", "SER")


def rates_table(record: dict[str, Any]) -> Table:
    """The whole and, where there are several, its domains."""
    rows = [Row(("all", *_rates(record)), "headline", _bar(record))]
    if len(record["domains"]) > 1:
        rows += [Row((name, *_rates(part)), "", _bar(part)) for name, part in record["domains"].items()]
    rates = ("CER", "cer"), ("MER", "mer"), ("WIL", "wil"), ("WER of the text as it is", "wer_unnormalised")
    note = (
        f"{', '.join(f'{name} {percent(record[key])}' for name, key in rates)}. SER: utterances with any error. "
        f"Normaliser {record['normaliser']}; {record['counts']['empty_insertions']} words on empty references; "
        f"intervals resample {_units(record)}{_apart(record['domains'], record)}."
    )
    return Table("", ("domain", *_RATES), tuple(rows), note)


def group_tables(record: dict[str, Any]) -> list[tuple[str, Table]]:
    """A table for everything that was grouped by."""
    found = []
    for name, of in record["groups"].items():
        rows = tuple(Row((value, *_rates(part)), "", _bar(part)) for value, part in of.items())
        note = f"Intervals resample {_units(record)}{_apart(of, record)}."
        found.append((name, Table("", (name, *_RATES), rows, note)))
    return found


def confusions_table(record: dict[str, Any], most: int) -> Table | None:
    """The errors made most often, of each kind."""
    found = record["confusions"]
    columns = (
        [f"{said} → {heard} ({count})" for said, heard, count in found["substitutions"]],
        [f"{word} ({count})" for word, count in found["deletions"]],
        [f"{word} ({count})" for word, count in found["insertions"]],
    )
    height = min(most, max(map(len, columns)))
    rows = tuple(Row(tuple(c[place] if place < len(c) else "" for c in columns)) for place in range(height))
    return Table("", ("taken for another", "dropped", "added"), rows, left=3) if rows else None


def keywords_table(record: dict[str, Any], most: int | None = None) -> Table | None:
    """Recall of the keywords, together and one by one; beside the baseline's, where there is one."""
    if "keywords" not in record:
        return None
    now = record["keywords"]
    before = record.get("paired", {}).get("keywords")
    others = {row["keyword"]: row for row in before["words"]} if before else {}
    rows = [Row(_keyword(now, before, bounds(now["ci_low"], now["ci_high"])), "headline")]
    rows += [Row(_keyword(row, others.get(row["keyword"]), "")) for row in now["words"][:most]]
    columns = ("keyword", "said", "found", "recall", "95 % interval", "heard where not said")
    return Table("", (*columns, "found by the other") if before else columns, tuple(rows))


def changed_table(record: dict[str, Any], most: int) -> Table | None:
    """The words that the system finds more and less often than the baseline."""
    if "words_changed" not in record:
        return None
    found = record["words_changed"]
    columns = [
        [f"{word} ({before} → {now} of {said})" for word, said, now, before in found[k]] for k in ("gained", "lost")
    ]
    height = min(most, max(map(len, columns)))
    rows = tuple(Row(tuple(c[place] if place < len(c) else "" for c in columns)) for place in range(height))
    note = "Picked by what they show: they say where the systems differ, not by how much."
    return Table("", ("found more often", "found less often"), rows, note, left=2) if rows else None


def against(test: dict[str, Any]) -> str:
    """A paired test as a sentence."""
    return (
        f"against the other system: {_points(test['difference'])} points ({_points(test['low'])} to "
        f"{_points(test['high'])}), bootstrap p {p_value(test['p'])}, sign flips {p_value(test['flip_p'])}, MAPSSWE "
        f"{p_value(test['mapsswe_p'])}"
    )


def systems_table(record: dict[str, Any]) -> Table:
    """Every system compared, the best first."""
    ordered = sorted(record["systems"].items(), key=lambda item: item[1]["wer"])
    rows = tuple(
        Row((name, *_rates(found), percent(found["cer"]), percent(found["wer_unnormalised"])), "", _bar(found))
        for name, found in ordered
    )
    first = ordered[0][1]
    note = f"SER: utterances with any error. Normaliser {record['normaliser']}; intervals resample {_units(first)}."
    return Table("", ("system", *_RATES, "CER", "WER as it is"), rows, note)


def tests_table(record: dict[str, Any]) -> Table:
    """Every two systems tested against each other."""
    rows = tuple(
        Row(
            (
                test["a"],
                test["b"],
                _points(test["difference"]),
                f"{_points(test['low'])} to {_points(test['high'])}",
                *(p_value(test[f"{name}_holm"]) for name in ("p", "flip_p", "mapsswe_p")),
            )
        )
        for test in record["pairs"]
    )
    columns = ("system", "against", "points", "95 % interval", "p, bootstrap", "p, sign flips", "p, MAPSSWE")
    note = (
        "All p are two-sided and corrected by Holm over this table. With fewer than about 30 units trust the flips; "
        "MAPSSWE takes utterances as independent, which those of one speaker are not."
    )
    return Table("", columns, rows, note, left=2)


def _rates(part: dict[str, Any]) -> tuple[str, ...]:
    counts = part["counts"]
    return (
        _percent(part["wer"]),
        bounds(part["ci_low"], part["ci_high"]),
        f"{counts['substitutions']} / {counts['deletions']} / {counts['insertions']}",
        str(part["words"]),
        percent(part["sentence_error"]),
    )


def _units(part: dict[str, Any]) -> str:
    return f"{part['ci_units']} {part['ci_unit']}{'s' if part['ci_units'] != 1 else ''}"


def _apart(parts: dict[str, dict[str, Any]], whole: dict[str, Any]) -> str:
    """Which parts are resampled otherwise than the whole, and whether some have no interval, for one speaker alone
    would be resampled."""
    known = [(name, part) for name, part in parts.items() if part["ci_low"] is not None]
    told = [f"of {name} {_units(part)}" for name, part in known if part["ci_unit"] != whole["ci_unit"]]
    if any((part["ci_unit"], part["ci_units"]) == ("speaker", 1) for part in parts.values()):
        told.append("where one speaker has all the words there is none")
    return "".join(f"; {one}" for one in told)


def _bar(part: dict[str, Any]) -> tuple[float, float, float] | None:
    return None if part["ci_low"] is None else (part["ci_low"], part["wer"], part["ci_high"])


def _keyword(row: dict[str, Any], before: dict[str, Any] | None, interval: str) -> tuple[str, ...]:
    said, found, recall = str(row["said"]), str(row["found"]), _percent(row["recall"])
    cells = (row["keyword"], said, found, recall, interval, str(row["invented"]))
    return (*cells, str(before["found"])) if before else cells


def _percent(rate: float | None) -> str:
    return "–" if rate is None else percent(rate)


def _points(difference: float) -> str:
    return signed(100 * difference)
