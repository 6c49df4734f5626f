"""How the findings of a grid are put into words and figures, the same on a page, in Markdown and on a terminal."""

from collections.abc import Iterable
from typing import Any

from syn2real.experiments.grid_recipe import INFORMED, uninformed
from syn2real.reports.wording import (
    NAMES,
    WINDOWS,
    counted,
    effect,
    equals,
    minus,
    model_name,
    name_of,
    p_value,
    signed,
)

# Whom the headline system is set against in a sentence each, where they were heard.
RIVALS = ("target-synthetic-augmented", "mixed-target-synthetic", "average", "source-real", "target-real")
ENOUGH = 30  # units from which on the bootstrap's p can be taken as it is
FEW = "Of so few {unit}s the bootstrap is somewhat too sure: the flip p below is the one to trust. "
MARK = "†"  # after a system that was not heard in every cell


def groups(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The tables of systems: one for each model, voices and window."""
    return list(record["comparison"]["groups"])


def conditions(record: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The same, the windows of a condition (a model and its voices) together, short ones first."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for group in groups(record):
        found.setdefault((group["model"], group["engines"]), []).append(group)
    return [sorted(windows, key=lambda group: list(WINDOWS).index(group["window"])) for windows in found.values()]


def condition_name(group: dict[str, Any]) -> str:
    """``whisper-base, espeak+piper``."""
    return f"{model_name(group['model'])}, {group['engines']}"


def system(group: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A system of a group, if it was heard there."""
    return next((row for row in group["systems"] if row["name"] == name), None)


def ordered(names: Iterable[str]) -> list[str]:
    """Systems as a table lists them: known ones in their order, each before itself with λ chosen on labels; others."""
    known = list(NAMES)

    def place(name: str) -> tuple[int, str]:
        base = uninformed(name)
        return (known.index(base) if base in known else len(known), name.removeprefix(base))

    return sorted(names, key=place)


def label(row: dict[str, Any]) -> str:
    """A system's name, marked where it misses cells."""
    return name_of(row["name"]) + (f" {MARK}" if row["missing"] else "")


def span(low: float | None, high: float | None) -> str:
    """One λ, or from the least to the largest."""
    if low is None or high is None:
        return "–"
    return minus(f"{low:g}" if low == high else f"{low:g} to {high:g}")


def points(value: float) -> str:
    """A difference of rates in percentage points."""
    return signed(100 * value)


def headlines(record: dict[str, Any]) -> list[str]:
    """What the headline system did against the baseline, whichever way it fell: a sentence a group."""
    comparison = record["comparison"]
    several = len(conditions(record)) > 1
    lines = []
    for group in (group for windows in conditions(record) for group in windows):
        found = system(group, comparison["headline"])
        if found is None or found["against_baseline"] is None:
            continue
        where = WINDOWS[group["window"]]
        where = f"{condition_name(group)}, {where}" if several else where[0].upper() + where[1:]
        baseline = _plain(comparison["baseline"])
        lines.append(f"{where}: {effect(found['against_baseline']['micro'] | _level(comparison), baseline)}")
    return lines or [f"{name_of(comparison['headline'])} and {name_of(comparison['baseline'])} were not both heard."]


def heading(record: dict[str, Any]) -> str:
    """The headline system's name."""
    return name_of(record["comparison"]["headline"])


def claims(group: dict[str, Any], comparison: dict[str, Any]) -> list[str]:
    """The headline system against its rivals, pooled over targets and seeds; flip p, corrected over all pairs."""
    headline = comparison["headline"]
    lines = []
    for rival in (*RIVALS, *(headline + ending for ending in INFORMED)):
        test = between(group, headline, rival)
        if test is None or test["relative"] is None:
            continue
        if test["relative"] == 0:
            lines.append(f"As many errors as “{name_of(rival)}”.")
            continue
        kind, sign = ("fewer", 100) if test["relative"] > 0 else ("more", -100)
        size = f"{sign * test['relative']:.1f} % {kind} errors than “{name_of(rival)}”"
        p = f"p {equals(test['flip_p'])}, corrected {p_value(test['flip_p_holm'])}"
        if test["relative_low"] is not None:
            low, high = sorted((sign * test["relative_low"], sign * test["relative_high"]))
            p = f"{minus(f'{low:.1f} to {high:.1f}')} %, {p}"
        lines.append(f"{size} ({p}).")
    return lines


def between(group: dict[str, Any], a: str, b: str) -> dict[str, Any] | None:
    """The test of system a against system b, whichever way round it is recorded."""
    for pair in group["pairs"]:
        if (pair["a"], pair["b"]) == (a, b):
            return dict(pair)
        if (pair["a"], pair["b"]) == (b, a):
            return _turned(pair)
    return None


def intervals_note(group: dict[str, Any], comparison: dict[str, Any]) -> str:
    """What a group's intervals and p-values rest on."""
    repeated = comparison["repeated"]
    return (
        f"Errors summed over {counted(len(group['targets']), 'target')} and {counted(len(group['seeds']), repeated)}. "
        f"{100 * comparison['level']:.0f} % intervals: bootstrap of {group['units']} {group['unit']}s, "
        f"{comparison['draws']:,} draws, the same for all systems, targets and {repeated}s. p: two-sided, against "
        f"{name_of(comparison['baseline'])}, corrected by Holm over the table. "
        + (FEW.format(unit=group["unit"]) if group["units"] < ENOUGH else "")
        + f"Normaliser: {comparison['normaliser']}."
    )


def missing_note(group: dict[str, Any], comparison: dict[str, Any]) -> str:
    """Which systems lack which cells, or nothing."""
    repeated = comparison["repeated"]
    lacking: dict[str, list[str]] = {}
    for row in group["systems"]:
        if row["missing"]:
            cells = ", ".join(f"{cell['target']} ({repeated} {cell['seed']})" for cell in row["missing"])
            lacking.setdefault(cells, []).append(f"“{name_of(row['name'])}”")
    parts = [f"without {cells}: {', '.join(names)}" for cells, names in lacking.items()]
    return f"{MARK} {'; '.join(parts)}. Tests are over the cells both systems have." if parts else ""


def sources(record: dict[str, Any]) -> str:
    """How much real speech the vectors were made of, and whether its speakers are also tested."""
    data = record["data"]
    if "source_clips" not in data:
        return ""
    said = (
        f"Real speech of source domains: {counted(data['source_clips'], 'clip')} "
        f"({data['source_seconds'] / 60:.1f} min) of {counted(data['source_speakers'], 'speaker')}"
    )
    shared = data.get("speakers_in_training_and_test")
    return f"{said}, {shared} of whom {'is' if shared == 1 else 'are'} also tested." if shared else f"{said}."


def failures(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that did not come to an end."""
    return [cell for cell in record["cells"] if cell["status"] != "done"]


def _plain(baseline: str) -> str:
    return "tuning on synthetic speech alone" if baseline == "target-synthetic" else name_of(baseline)


def _level(comparison: dict[str, Any]) -> dict[str, float]:
    return {"level": comparison["level"]}


def _turned(pair: dict[str, Any]) -> dict[str, Any]:
    """A test seen from the other system; its relative figures follow from the ratio of both rates."""

    def inverse(share: float | None) -> float | None:
        return None if share is None or share == 1 else 1 - 1 / (1 - share)

    return {
        **pair,
        "a": pair["b"],
        "b": pair["a"],
        "rate_a": pair["rate_b"],
        "rate_b": pair["rate_a"],
        "difference": -pair["difference"],
        "low": -pair["high"],
        "high": -pair["low"],
        "relative": inverse(pair["relative"]),
        "relative_low": inverse(pair["relative_high"]),
        "relative_high": inverse(pair["relative_low"]),
    }
