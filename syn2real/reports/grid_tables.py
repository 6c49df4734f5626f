"""The tables of a grid's report."""

from typing import Any

from syn2real.experiments.grid_recipe import INFORMED, LABELLED, ORACLE
from syn2real.reports import grid_wording as words
from syn2real.reports.table import Row, Table
from syn2real.reports.wording import bounds, change, minus, model_name, name_of, p_value, percent, window


def conditions_table(record: dict[str, Any]) -> Table | None:
    """The headline in every model, set of voices and window; nothing where there is one condition."""
    if len(words.conditions(record)) < 2:
        return None
    comparison = record["comparison"]
    rows = []
    for group in (group for windows in words.conditions(record) for group in windows):
        found = words.system(group, comparison["headline"])
        if found is None or found["against_baseline"] is None:
            continue
        micro = found["against_baseline"]["micro"]
        rows.append(
            Row(
                (
                    model_name(group["model"]),
                    group["engines"],
                    window(group),
                    percent(micro["rate_b"]),
                    percent(micro["rate_a"]),
                    change(micro["relative"]),
                    _changes(micro),
                    p_value(micro["p"]),
                ),
                bar=(found["ci_low"], found["wer"], found["ci_high"]),
            )
        )
    columns = ("model", "voices", "window", name_of(comparison["baseline"]), name_of(comparison["headline"]))
    return Table("", (*columns, "change", "interval", "p"), tuple(rows), left=3)


def systems_table(group: dict[str, Any], comparison: dict[str, Any]) -> Table:
    """Every system's pooled rate, and the test against the baseline."""
    rows = []
    for row in _ordered(group):
        test = row["against_baseline"]["micro"] if row["against_baseline"] else None
        spread = row["seeds"]["sd"]
        cells = (
            words.label(row),
            words.span(row["scale_low"], row["scale_high"]),
            percent(row["wer"]),
            bounds(row["ci_low"], row["ci_high"]),
            "–" if spread is None else f"{100 * spread:.2f}",
            change(test["relative"]) if test else "–",
            _changes(test) if test else "–",
            p_value(test["p"]) if test else "–",
            p_value(test["p_holm"]) if test else "–",
        )
        rows.append(Row(cells, _kind(row["name"], comparison), (row["ci_low"], row["wer"], row["ci_high"])))
    columns = ("system", "λ", "WER", "interval", f"SD, {comparison['repeated']}s", "errors", "interval", "p", "p, Holm")
    note = " ".join(filter(None, (words.intervals_note(group, comparison), words.missing_note(group, comparison))))
    return Table("", columns, tuple(rows), note)


def details_table(group: dict[str, Any], comparison: dict[str, Any]) -> Table:
    """The same systems by other measures: mean over targets, characters, raw text, kinds of error, MAPSSWE."""
    rows = []
    for row in _ordered(group):
        test, counts = row["against_baseline"], row["counts"]
        low, high = row["seeds"]["low"], row["seeds"]["high"]
        cells = (
            words.label(row),
            percent(row["macro"]),
            bounds(row["macro_low"], row["macro_high"]),
            change(test["macro"]["relative"]) if test else "–",
            p_value(test["macro"]["p_holm"]) if test else "–",
            p_value(test["micro"]["flip_p_holm"]) if test else "–",
            p_value(test["mapsswe_p"]) if test else "–",
            bounds(low, high),
            percent(row["cer"]),
            percent(row["wer_unnormalised"]),
            f"{counts['substitutions']} / {counts['deletions']} / {counts['insertions']}",
        )
        rows.append(Row(cells, _kind(row["name"], comparison)))
    columns = (
        "system",
        "macro WER",
        "interval",
        "errors",
        "p, Holm",
        "flip p, Holm",
        "MAPSSWE p",
        f"WER by {comparison['repeated']}",
        "CER",
    )
    some = any(row["missing"] for row in group["systems"])
    shared = f" By {comparison['repeated']}: over the targets that a system has for every one." if some else ""
    seeds = {row["against_baseline"]["mapsswe_seed"] for row in group["systems"] if row["against_baseline"]}
    heard = f" of {comparison['repeated']} {min(seeds)}" if seeds else ""
    note = (
        "Macro WER: mean of the targets' rates, with its own change and p. Flip p: of the pooled WER, by flipping the "
        f"signs of the {group['unit']}s' differences, which holds for few of them too. MAPSSWE takes utterances as "
        f"independent, which those of one speaker are not; it is over the utterances{heard} alone. Raw WER: of the "
        f"text as it is. S / D / I: substituted, deleted and inserted words, of "
        f"{max(row['words'] for row in group['systems']):,}.{shared}"
    )
    return Table("", (*columns, "raw WER", "S / D / I"), tuple(rows), note)


def flips_table(group: dict[str, Any], comparison: dict[str, Any]) -> Table | None:
    """The flip p of every system, where units are so few that it is the one to trust; else nothing."""
    if group["units"] >= words.ENOUGH:
        return None
    rows = tuple(
        Row((words.label(row), p_value(micro["flip_p"]), p_value(micro["flip_p_holm"])), _kind(row["name"], comparison))
        for row in _ordered(group)
        if row["against_baseline"] and (micro := row["against_baseline"]["micro"])
    )
    return Table("", ("system", "flip p", "flip p, Holm"), rows) if rows else None


def domains_table(group: dict[str, Any], comparison: dict[str, Any]) -> Table:
    """Target by target, for the systems that the picture shows, and what the headline changed."""
    shown = shown_systems(group, comparison)
    headline = words.system(group, comparison["headline"])
    rows = []
    for target in group["targets"]:
        cells = [target]
        for row in shown:
            part = _domain(row, target)
            cells.append(f"{percent(part['wer'])} ({bounds(part['ci_low'], part['ci_high'])})" if part else "–")
        part = _domain(headline, target) if headline else None
        cells.append(change(part["relative"]) if part else "–")
        cells.append(_changes(part) if part else "–")
        scales = part["scales"] if part else []
        cells.append(words.span(min(scales, default=None), max(scales, default=None)))
        rows.append(Row(tuple(cells)))
    names = [name_of(row["name"]) for row in shown]
    return Table("", ("target", *names, "errors", "interval", "λ"), tuple(rows))


def shown_systems(group: dict[str, Any], comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """The few systems that are shown target by target: untouched, baseline, headline and topline; the first few where
    none of these was heard."""
    names = ("zero-shot", comparison["baseline"], comparison["headline"], "target-real")
    found = [row for name in dict.fromkeys(names) if (row := words.system(group, name))]
    return found or group["systems"][: len(names)]


def scales_table(record: dict[str, Any], group: dict[str, Any]) -> Table | None:
    """What choosing λ without the target cost: each system beside itself at a λ chosen on labelled speech of it."""
    rows = []
    for row in _ordered(group):
        name = row["name"]
        test = words.between(group, name, name + ORACLE)
        best = words.system(group, name + ORACLE)
        if test is None or best is None:
            continue
        cells = (
            words.label(row),
            chosen_by(record, group, name),
            words.span(row["scale_low"], row["scale_high"]),
            percent(row["wer"]),
            words.span(best["scale_low"], best["scale_high"]),
            percent(best["wer"]),
            change(test["relative"]),
            _changes(test),
            *_against_labels(group, name),
        )
        rows.append(Row(cells, _kind(name, record["comparison"])))
    oracle = ("oracle λ", "WER", "errors vs oracle", "interval")
    columns = ("system", "λ chosen on", "λ", "WER", *oracle, "WER, λ by others' labels", "errors vs these", "interval")
    note = (
        "The oracle λ is the best on the test recordings themselves, cell by cell: nobody may choose it, and some of "
        "what it gains is luck. By others' labels: for each speaker, what all others' labelled recordings of the "
        "target choose, which is what labels would buy."
    )
    return Table("", columns, tuple(rows), note, left=2) if rows else None


def _against_labels(group: dict[str, Any], name: str) -> tuple[str, str, str]:
    test, found = words.between(group, name, name + LABELLED), words.system(group, name + LABELLED)
    if test is None or found is None:
        return "–", "–", "–"
    return percent(found["wer"]), change(test["relative"]), _changes(test)


def chosen_by(record: dict[str, Any], group: dict[str, Any], name: str) -> str:
    """On what a system's λ was chosen."""
    ways = {"proxies": "proxy domains", "source-dev": "source, dev", "fixed": "given"}
    found = {row["by"] for row in lambdas_of(record, group, name)}
    return ", ".join(ways.get(by, by) for by in sorted(found)) or "–"


def lambdas_of(record: dict[str, Any], group: dict[str, Any], name: str | None = None) -> list[dict[str, Any]]:
    """The recorded choices of λ of a condition, of one system or of all."""
    return [
        row
        for row in record["lambdas"]
        if (row["model"], row["engines"]) == (group["model"], group["engines"]) and name in (None, row["system"])
    ]


def groups_table(record: dict[str, Any], group: dict[str, Any]) -> Table | None:
    """λ by group of tensors, where a system has one each."""
    found = [row for row in lambdas_of(record, group) if row.get("groups")]
    if not found:
        return None
    names = list(dict.fromkeys(name for row in found for name in row["groups"]))
    rows = []
    for target in dict.fromkeys(row["target"] for row in found):
        seeds = [row["groups"] for row in found if row["target"] == target]
        spans = (words.span(min(s[name] for s in seeds), max(s[name] for s in seeds)) for name in names)
        rows.append(Row((target, *spans)))
    titles = (name.removeprefix("model.").strip(".").replace("_", " ") for name in names)
    return Table("", ("target", *titles), tuple(rows), "Of several seeds: the least and the largest.")


def sums_table(record: dict[str, Any], group: dict[str, Any]) -> Table | None:
    """Which sum of the three models was chosen for each target, where that was left to choose."""
    found = [row for row in lambdas_of(record, group) if row.get("sum")]
    rows = tuple(Row((row["target"], str(row["seed"]), name_of(row["sum"]), f"{row['chosen']:g}")) for row in found)
    return Table("", ("target", "seed", "sum", "λ"), rows, left=3) if rows else None


def forgetting_table(group: dict[str, Any], comparison: dict[str, Any]) -> Table | None:
    """What was forgotten: rates on domains that were not the target."""
    rows = []
    for row in _ordered(group):
        away = row["elsewhere"]
        if away is None:
            continue
        test = away["against"]
        cells = (
            words.label(row),
            percent(row["wer"]),
            percent(away["wer"]),
            bounds(away["ci_low"], away["ci_high"]),
            words.points(test["difference"]) if test else "–",
            f"{words.points(test['low'])} to {words.points(test['high'])}" if test else "–",
            p_value(test["p_holm"]) if test else "–",
        )
        rows.append(Row(cells, _kind(row["name"], comparison)))
    columns = ("system", "WER, target", "WER, elsewhere", "interval", "points vs zero-shot", "interval", "p, Holm")
    note = "Elsewhere: test recordings of the other domains. A positive difference is what adaptation made worse."
    return Table("", columns, tuple(rows), note) if rows else None


def targets_table(record: dict[str, Any]) -> Table:
    """How much of each target there was."""
    rows = [
        Row(
            (
                name,
                str(part["test_clips"]),
                f"{part['test_seconds'] / 60:.1f}",
                str(part["test_speakers"]),
                str(part["target_sentences"]),
                str(part["removed_duplicates"]),
                str(part.get("kept_duplicates", 0)),
            )
        )
        for name, part in record["data"]["targets"].items()
    ]
    columns = ("target", "test clips", "minutes", "speakers", "sentences of text", "tested ones removed", "and kept")
    return Table("", columns, tuple(rows))


def sizes_table(record: dict[str, Any]) -> Table | None:
    """The vectors of several models, against the weights they are added to."""
    rows = [
        Row(
            (
                model_name(row["model"]),
                f"{row['parameters'] / 1e6:,.1f}",
                f"{row['norm']:.3g}",
                f"{100 * row['share']:.2f} %",
            )
        )
        for row in record.get("sizes") or ()
    ]
    columns = ("model", "million weights", "length of the vector", "of the weights' length")
    return Table("", columns, tuple(rows)) if rows else None


def vectors_tables(record: dict[str, Any]) -> list[Table]:
    """Cosines between vectors, whole and by group of tensors."""
    vectors = record["vectors"]
    if not vectors:
        return []
    names = vectors["names"]
    lengths = [f"{norm:.3g}" for norm in vectors["norms"]]
    found = []
    for title, cosines in (("All tensors", vectors["cosine"]), *(vectors.get("groups") or {}).items()):
        rows = zip(names, lengths, cosines, strict=True)
        cells = (
            (name, length, *("–" if value is None else minus(f"{value:.2f}") for value in row))
            for name, length, row in rows
        )
        columns = ("vector", "length, whole", *names)
        found.append(Table(title.replace("_", " "), columns, tuple(Row(row) for row in cells)))
    return found


def transfer_table(record: dict[str, Any]) -> Table | None:
    """What each vector does on each target: change of errors, and WER."""
    transfer = record["transfer"]
    if not transfer:
        return None
    rows = [
        Row(
            (
                name,
                *("–" if wer is None else f"{change(less)} ({percent(wer)})" for less, wer in zip(*pair, strict=True)),
            )
        )
        for name, *pair in zip(transfer["rows"], transfer["relative"], transfer["wer"], strict=True)
    ]
    note = "Change of errors against the model without it, and WER; a vector's own target has none."
    return Table("", ("vector of", *transfer["columns"]), tuple(rows), note)


def failures_table(record: dict[str, Any]) -> Table | None:
    """Cells that failed, and why."""
    rows = [
        Row(
            (
                cell["target"],
                model_name(cell["model"]),
                cell["engines"],
                str(cell["seed"]),
                cell["error"] or "no reason given",
            )
        )
        for cell in words.failures(record)
    ]
    return Table("", ("target", "model", "voices", "seed", "error"), tuple(rows), left=5) if rows else None


def _ordered(group: dict[str, Any]) -> list[dict[str, Any]]:
    found = {row["name"]: row for row in group["systems"]}
    return [found[name] for name in words.ordered(found)]


def _domain(row: dict[str, Any], target: str) -> dict[str, Any] | None:
    return next((part for part in row["domains"] if part["target"] == target), None)


def _kind(name: str, comparison: dict[str, Any]) -> str:
    special = {comparison["headline"]: "headline", comparison["baseline"]: "baseline"}
    return special.get(name, "oracle" if name.endswith(INFORMED) else "")


def _changes(test: dict[str, Any]) -> str:
    """The interval of a relative change of errors."""
    low, high = test["relative_low"], test["relative_high"]
    if low is None or high is None:
        return "–"
    return f"{change(high).removesuffix(' %')} to {change(low)}"
