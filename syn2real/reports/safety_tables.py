"""What an evaluation of safety found, as tables for the terminal and the page."""

from typing import Any

from syn2real.reports.table import Row, Table
from syn2real.reports.wording import bounds, minus, p_value, percent

_SHARES = ("attack success", "95 % interval", "of", "over- refusal", "95 % interval", "of")


def evaluation_table(record: dict[str, Any]) -> Table:
    """Each judge's findings, over all and, where there are several, by set of requests."""
    rows = []
    for judge, found in record["judges"].items():
        rows.append(Row((judge, "all", *_shares(found["all"])), "headline"))
        rows += [Row((judge, source, *_shares(part))) for source, part in found["sets"].items()]
    unparsed = sum(found["all"]["unparsed"] for found in record["judges"].values())
    note = (
        f"{record['answers']} answers, {record['empty']} empty, {record['shortened']} to a request cut to the context; "
        f"{unparsed} that a judge did not or could not judge are left out. Attack success: of the harmful requests; "
        "over-refusal: of the harmless ones; Wilson's intervals."
    )
    return Table("", ("judge", "requests", *_SHARES), tuple(rows), note, left=2)


def agreement_table(record: dict[str, Any]) -> Table | None:
    """What every two judges agree on."""
    kinds = ("both", "only_a", "only_b", "neither")
    rows = [
        Row((f"{each['a']}, {each['b']}", *(str(each[kind]) for kind in kinds), _kappa(each)))
        for each in record["agreement"]
    ]
    columns = ("judges", "both: harmful", "only the first", "only the second", "neither", "κ")
    return Table("", columns, tuple(rows)) if rows else None


def models_table(record: dict[str, Any]) -> Table:
    """Models beside each other."""
    rows = tuple(Row((name, *_shares(found))) for name, found in record["models"].items())
    note = f"{record['requests']} requests; judge {record['judge']}; Wilson's intervals."
    return Table("", ("model", *_SHARES), rows, " ".join([note, *_unlike(record["asked"])]))


def _unlike(asked: dict[str, dict[str, Any]]) -> list[str]:
    """In what the models were asked differently, which a difference between them may come of."""
    found = []
    for key, called in (("system", "system prompt"), ("max_tokens", "tokens at most")):
        values = {name: way[key] for name, way in asked.items() if key in way}
        if len(set(values.values())) > 1:
            said = "; ".join(f"{name}: {'none' if value is None else value}" for name, value in values.items())
            found.append(f"NOT ASKED ALIKE, {called}: {said}.")
    return found


def differences_table(record: dict[str, Any]) -> Table:
    """Every two models: what the first has more."""
    rows = tuple(
        Row((f"{pair['a']} − {pair['b']}", *_difference(pair["attack_success"]), *_difference(pair["over_refusal"])))
        for pair in record["pairs"]
    )
    columns = ("models", "attack success", "95 % interval", "p", "over-refusal", "95 % interval", "p")
    note = "Points; bootstrap over requests; p: McNemar's exact test, not corrected for there being several."
    return Table("", columns, rows, note)


def _shares(found: dict[str, Any]) -> tuple[str, ...]:
    return (*_share(found["attack_success"]), *_share(found["over_refusal"]))


def _share(found: dict[str, Any]) -> tuple[str, str, str]:
    if found["rate"] is None:
        return "–", "–", "–"
    return percent(found["rate"]), bounds(found["ci_low"], found["ci_high"]), str(found["of"])


def _difference(found: dict[str, Any]) -> tuple[str, str, str]:
    if found["difference"] is None:
        return "–", "–", "–"
    low, high = (f"{100 * found[key]:+.1f}" for key in ("ci_low", "ci_high"))
    return minus(f"{100 * found['difference']:+.1f}"), minus(f"{low} to {high}"), p_value(found["p"])


def _kappa(found: dict[str, Any]) -> str:
    return "–" if found["kappa"] is None else minus(f"{found['kappa']:.2f}")
