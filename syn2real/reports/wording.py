"""How figures are put into words: one place, so that terminal, HTML and model card say the same."""

from typing import Any

NAMES = {
    "zero-shot": "zero-shot",
    "source-synthetic": "source, synthetic",
    "source-real": "source, real",
    "target-synthetic": "target, synthetic",
    "syn2real": "SYN2REAL",
}


WINDOWS = {"short": "short windows", "full": "30 s windows, as in plain transformers"}


def percent(rate: float) -> str:
    """A rate as a percentage with one decimal."""
    return f"{100 * rate:.1f} %"


def interval(system: dict[str, Any]) -> str:
    """``12.0–15.1``, in percent."""
    return f"{100 * system['ci_low']:.1f}–{100 * system['ci_high']:.1f}"


def p_value(p: float | None) -> str:
    """A p-value as people read it."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def relative(system: dict[str, Any]) -> str:
    """Relative change of errors against target-synthetic, in percent: negative is better."""
    return "–" if system["relative"] is None else f"{-100 * system['relative']:+.1f} %"


def label(system: dict[str, Any]) -> str:
    """A system's name, with λ where it has one."""
    name = NAMES.get(system["name"], system["name"])
    return f"{name}, λ = {system['scale']:g}" if system["scale"] is not None else name


def window(system: dict[str, Any]) -> str:
    """The window a system was heard in."""
    return "30 s" if system["window"] == "full" else "short"


def choice(scale: dict[str, Any]) -> str:
    """How λ was come by."""
    if not scale["chosen_by"]:
        return f"λ = {scale['chosen']:g}, as given"
    return f"λ = {scale['chosen']:g}, chosen on {', '.join(scale['chosen_by'])} without real target speech"


def find(systems: list[dict[str, Any]], name: str, heard: str) -> dict[str, Any] | None:
    """The system of this name and window."""
    return next((s for s in systems if s["name"] == name and s["window"] == heard), None)


def headlines(systems: list[dict[str, Any]]) -> list[str]:
    """What the vector did to the model tuned on synthetic target speech, whichever way it fell: a sentence a window."""
    windows = [name for name in WINDOWS if find(systems, "syn2real", name)]
    return [f"{WINDOWS[heard].capitalize()}: {_headline(systems, heard)}" for heard in windows]


def _headline(systems: list[dict[str, Any]], heard: str) -> str:
    before, after = find(systems, "target-synthetic", heard), find(systems, "syn2real", heard)
    if before is None or after is None:
        return "No comparison was made."
    change = f"WER {percent(before['wer'])} → {percent(after['wer'])}"
    if after["relative"] is None:
        return f"{change}: the model tuned on synthetic speech made no errors to mend."
    if after["relative"] == 0:
        return f"{change}: the vector changed nothing (λ = {after['scale']:g})."
    kind, sign = ("fewer", 100) if after["relative"] > 0 else ("more", -100)
    size = f"{sign * after['relative']:.0f} % {kind} errors than tuning on synthetic speech alone"
    if after["relative_low"] is None:  # a draw in which the baseline makes no error has no ratio
        return f"{change}: {size} (too few errors for an interval, p {_equals(after['p'])})."
    low, high = sorted((sign * after["relative_low"], sign * after["relative_high"]))
    level = f"{100 * after['ci_level']:.0f} % interval"
    return f"{change}: {size} ({level} {low:.0f} to {high:.0f} %, p {_equals(after['p'])})."


def intervals_by(systems: list[dict[str, Any]]) -> str:
    """What the intervals rest on."""
    first = systems[0]
    return (
        f"{100 * first['ci_level']:.0f} % bootstrap intervals over {first['ci_units']} {first['ci_unit']}s; "
        f"p: paired bootstrap against target-synthetic in the same window; normaliser: {first['normaliser']}"
    )


def _equals(p: float) -> str:
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"
