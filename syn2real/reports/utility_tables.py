"""What an evaluation of utility found, as tables for the terminal and the page."""

from typing import Any

from syn2real.reports.table import Row, Table
from syn2real.reports.wording import bounds, minus, p_value, percent


def evaluation_table(record: dict[str, Any]) -> Table:
    """Each task: what counts in bold, and what else was measured."""
    rows = []
    for name, task in record["tasks"].items():
        for measure in sorted(task["measures"], key=lambda measure: measure != task["headline"]):
            headline = measure == task["headline"]
            shown = _value(task["measures"][measure], task["unit"])
            cells = (name if headline else "", measure, *shown, str(task["questions"]))
            rows.append(Row(cells, "headline" if headline else ""))
    note = (
        "95 % intervals: Wilson's where every question is right or wrong, otherwise by bootstrap over questions. Of "
        "perplexity, less is better."
    )
    return Table("", ("task", "measure", "mean", "95 % interval", "questions"), tuple(rows), note, left=2)


def models_table(record: dict[str, Any]) -> Table:
    """Models beside each other, task by task."""
    rows = []
    for name, task in record["tasks"].items():
        for model, found in task["models"].items():
            cells = (model, *_value(found, task["unit"]), str(task["questions"]))
            rows.append(Row((f"{name}, {task['headline']}", *cells)))
    return Table("", ("task", "model", "mean", "95 % interval", "questions"), tuple(rows), left=2)


def differences_table(record: dict[str, Any]) -> Table:
    """Every two models on every task: what the first has more."""
    rows = [
        Row((name, f"{pair['a']} − {pair['b']}", *_difference(pair, task["unit"])))
        for name, task in record["tasks"].items()
        for pair in task["pairs"]
    ]
    note = (
        "Points, but of perplexity the first's over the second's; bootstrap over questions; p by flipping the signs of "
        "the questions' differences, not corrected for there being several."
    )
    return Table("", ("task", "models", "difference", "95 % interval", "p"), tuple(rows), note, left=2)


def _value(found: dict[str, Any], unit: str) -> tuple[str, str]:
    if unit == "share":
        return percent(found["value"]), bounds(found["ci_low"], found["ci_high"])
    low, high = found["ci_low"], found["ci_high"]
    return f"{found['value']:.3g}", "–" if low is None else minus(f"{low:.3g} to {high:.3g}")


def _difference(pair: dict[str, Any], unit: str) -> tuple[str, str, str]:
    scale, form = (100, "+.1f") if unit == "share" else (1, ".3f") if unit == "nats" else (1, "+.3g")
    value, low, high = pair["ratio" if unit == "nats" else "difference"], pair["ci_low"], pair["ci_high"]
    interval = "–" if low is None else minus(f"{scale * low:{form}} to {scale * high:{form}}")
    return minus(f"{scale * value:{form}}"), interval, p_value(pair["p"])
