"""What a study of language models found, as tables for the terminal and the page."""

from collections.abc import Sequence
from typing import Any

from syn2real.reports.table import Row, Table
from syn2real.reports.wording import bounds, minus, p_value, percent

NAMES = {
    "model": "the model as it comes",
    "aligned": "aligned",
    "tuned": "fine-tuned for the task",
    "linear": "merged, linear",
    "slerp": "merged, SLERP",
    "dare_linear": "merged, DARE",
    "model_stock": "merged, Model Stock",
    "realign": "re-aligned",
    "mergealign": "MergeAlign",
}


# How a record calls answers without a verdict, and to which requests they are.
_UNPARSED = {"unparsed": "harmful", "unparsed_harmless": "harmless"}
_COLUMNS = tuple(f"unparsed, {requests}" for requests in _UNPARSED.values())
_LEFT_OUT = " Unparsed: answers to such requests that the judge gave no verdict on, which the rates leave out."


def name_of(system: dict[str, Any]) -> str:
    """A system's name for a reader, with its λ."""
    name = NAMES.get(system["system"], system["system"])
    return name if system["scale"] is None else f"{name}, {_letter(system)} = {system['scale']:g}"


def systems_table(record: dict[str, Any]) -> Table:
    """All systems in the test."""
    rows, asked = [], record["asked"]
    unknown = _any_unparsed(record["systems"])
    for system in record["systems"]:
        kind = "baseline" if system["system"] == "tuned" else "headline" if system["scale"] is not None else ""
        cells = [_share(system[key]) for key in ("attack_success", "over_refusal", "utility")]
        if compared(record):
            cells.append(_gap(system["gender_gap"]))
        last = _unparsed(system, asked, "test") if unknown else ()
        rows.append(Row((name_of(system), *(text for pair in cells for text in pair), *last), kind))
    note = (
        f"{asked['test_harmful']} harmful requests, {asked['test_harmless']} harmless ones and {asked['test_task']} "
        f"questions of the task, of which none was taught or chose anything; {len(record['recipe']['seeds'])} seeds. "
        "Intervals: bootstrap over requests, Wilson's for one model and for none or all. "
        f"Judge: {record['recipe']['safety']['judge']}.{_LEFT_OUT * unknown}{marking(record)}{comparing(record)}"
    )
    columns = ("system", "attack success", "interval", "over-refusal", "interval", "task", "interval")
    more = (*("gender gap", "interval") * compared(record), *_COLUMNS * unknown)
    return Table("", (*columns, *more), tuple(rows), note)


def differences_table(record: dict[str, Any]) -> Table:
    """Every system beside the fine-tuned one, in points."""
    rows = []
    for system in record["systems"]:
        if system["system"] == "tuned":
            continue
        against = system["against_tuned"]
        cells = [_change(against[key]) for key in ("attack_success", "over_refusal", "utility")]
        if compared(record):
            cells.append(_change(against["gender_gap"], scale=1, digits=3))
        rows.append(Row((name_of(system), *(text for pair in cells for text in pair))))
    columns = ("beside the fine-tuned, in points", "attack success", "p", "over-refusal", "p", "task", "p")
    note = (
        "95 % bootstrap intervals over requests; p by flipping the signs of the requests' differences, not corrected."
    )
    return Table("", (*columns, *("gender gap, as it is", "p") * compared(record)), tuple(rows), note)


def compared(record: dict[str, Any]) -> bool:
    """Whether answers to sentences and to their twins were compared."""
    return "test_cases" in record["asked"]


def comparing(record: dict[str, Any]) -> str:
    """What a gender gap is, as a sentence after others; nothing where there is none."""
    if not compared(record):
        return ""
    cases, scorer = record["asked"]["test_cases"], record["recipe"]["bias"]["scorer"]
    return (
        f" Gender gap: how far apart the answers to a sentence and to its twin of the other gender are ({scorer}), "
        f"mean over {cases} sentences."
    )


def curves_table(record: dict[str, Any]) -> Table:
    """What each λ did in validation."""
    rows = []
    unknown = _any_unparsed([point for curve in record["curves"].values() for point in curve])
    for name, curve in record["curves"].items():
        for point in curve:
            chosen = point["scale"] == record["chosen"][name]
            cells = [_share(point[key])[0] for key in ("attack_success", "over_refusal", "utility")]
            cells += _unparsed(point, record["asked"], "validation") if unknown else ()
            rows.append(Row((NAMES.get(name, name), f"{point['scale']:g}", *cells), "headline" if chosen else ""))
    note = f"Bold: chosen, {_rule(record['recipe'])}.{_LEFT_OUT * unknown}"
    columns = ("merge", "λ, γ or α", "attack success", "over-refusal", "task", *_COLUMNS * unknown)
    return Table("", columns, tuple(rows), note)


def _rule(recipe: dict[str, Any]) -> str:
    if recipe.get("utility_loss") is None:
        share = percent(recipe["attack_share"])
        return (
            f"the best at the task of those with at most {share} of the fine-tuned model's attack success in "
            "validation, or else the safest"
        )
    points = f"{100 * recipe['utility_loss']:g} points"
    return (
        f"the safest of those that do the task at most {points} worse than the fine-tuned model in validation, or else "
        "the best at the task"
    )


def seeds_table(record: dict[str, Any]) -> Table:
    """Seed by seed."""
    rows = []
    for system in record["systems"]:
        if len(system["by_seed"]) < 2:
            continue
        cells = (", ".join(_plain(s[key]) for s in system["by_seed"]) for key in ("attack_success", "utility"))
        rows.append(Row((name_of(system), *cells)))
    return Table("", ("system", "attack success", "task"), tuple(rows))


def marking(record: dict[str, Any]) -> str:
    """How the task is marked, as a sentence after others; nothing of exact match."""
    task = record["recipe"]["task"]
    options = ", ".join(f"{name} {value}" for name, value in task["options"].items() if name != "allow_code")
    return (
        ""
        if task["metric"] == "exact"
        else f" The task is marked by {task['metric']}{f' ({options})' * bool(options)}."
    )


def _any_unparsed(systems: Sequence[dict[str, Any]]) -> bool:
    return any(system[key] for system in systems for key in _UNPARSED)


def _unparsed(system: dict[str, Any], asked: dict[str, int], part: str) -> tuple[str, ...]:
    """How many answers of all its models to each kind of request are without a verdict."""
    models = system["models"]
    return tuple(f"{system[key]} of {models * asked[f'{part}_{kind}']}" for key, kind in _UNPARSED.items())


def _letter(system: dict[str, Any]) -> str:
    return {"mergealign": "α", "realign": "γ"}.get(system["system"], "λ")


def _plain(rate: float | None) -> str:
    return "–" if rate is None else percent(rate)


def _share(found: dict[str, Any]) -> tuple[str, str]:
    return _plain(found["rate"]), bounds(found["ci_low"], found["ci_high"])


def _gap(found: dict[str, Any]) -> tuple[str, str]:
    return f"{found['rate']:.3f}", f"{found['ci_low']:.3f}–{found['ci_high']:.3f}"


def _change(found: dict[str, Any], *, scale: float = 100, digits: int = 1) -> tuple[str, str]:
    if found["difference"] is None:
        return "–", "–"
    change, low, high = (f"{scale * found[key]:+.{digits}f}" for key in ("difference", "ci_low", "ci_high"))
    return minus(f"{change} ({low} to {high})"), p_value(found["p"])
