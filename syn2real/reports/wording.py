"""How figures are put into words: one place, so that terminal, HTML and model card say the same."""

import re
from pathlib import PurePath
from typing import Any

# In the order of a table: what a text-only domain could have had anyway, the method, and what it could not.
NAMES = {
    "zero-shot": "zero-shot",
    "source-synthetic": "source, synthetic",
    "source-real": "source, real",
    "source-mixed": "source, real and synthetic",
    "target-synthetic": "target, synthetic",
    "target-synthetic-augmented": "target, synthetic, augmented",
    "mixed-target-synthetic": "source mixed, then target synthetic",
    "average": "weight average with source, real",
    "syn2real": "SYN2REAL",
    "syn2real-mixed": "SYN2REAL, started from source mixed",
    "syn2real-domains": "SYN2REAL, mean of domain vectors",
    "syn2real-engines": "SYN2REAL, mean of engine vectors",
    "syn2real-augmented": "SYN2REAL, augmented",
    "syn2real-groups": "SYN2REAL, λ by group of tensors",
    "syn2real-lora": "SYN2REAL, low-rank vector",
    "text-on-real": "source, real, with what the text teaches",
    "best-sum": "best sum of the three models",
    "target-real": "target, real (topline)",
}

_HUB = re.compile(r"[\w.-]+/[\w.-]+")  # org/name
WINDOWS = {
    "short": "short windows",
    "whole": "clips as long as they are",  # of models that hear in no windows
    "full": "30 s windows, as in plain transformers",
}


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent(rate: float) -> str:
    """A rate as a percentage with one decimal."""
    return f"{100 * rate:.1f} %"


def interval(system: dict[str, Any]) -> str:
    """``12.0–15.1``, in percent."""
    return bounds(system["ci_low"], system["ci_high"])


def bounds(low: float | None, high: float | None) -> str:
    """Two rates, in percent: ``12.0–15.1``, and a dash where there is no interval."""
    return "–" if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f}"


def on_hub(model: str) -> bool:
    """Whether a model is named as on the hub: org/name."""
    return _HUB.fullmatch(model) is not None


def model_name(model: str) -> str:
    """A model's name; of a directory its last part, for where it lay is nobody's business."""
    return model if on_hub(model) else PurePath(model).name


def p_value(p: float | None) -> str:
    """A p-value as people read it."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def relative(system: dict[str, Any]) -> str:
    """Relative change of errors against target-synthetic, in percent: negative is better."""
    return change(system["relative"])


def change(relative: float | None) -> str:
    """A relative improvement as the change of errors, in percent: negative is better."""
    return "–" if relative is None else f"{signed(-100 * relative)} %"


def signed(value: float, digits: int = 1) -> str:
    """A change with its sign; without one where it rounds to nothing."""
    text = f"{value:+.{digits}f}"
    return minus(text) if float(text) else text[1:]


def minus(text: str) -> str:
    """Figures with a true minus sign, as wide as a plus."""
    return text.replace("-", "−")


def name_of(system: str) -> str:
    """A system's name for a reader."""
    # Late: it brings torch, which a table of scores does without.
    from syn2real.experiments.grid_recipe import ORACLE, uninformed

    base = uninformed(system)
    name = NAMES.get(base, base)
    if base == system:
        return name
    return f"{name}, oracle λ" if system.endswith(ORACLE) else f"{name}, λ by others' labels"


def label(system: dict[str, Any]) -> str:
    """A system's name, with λ where it has one."""
    name = name_of(system["name"])
    return f"{name}, λ = {system['scale']:g}" if system["scale"] is not None else name


def window(system: dict[str, Any]) -> str:
    """The window a system was heard in."""
    return {"full": "30 s", "whole": "–"}.get(system["window"], "short")


def choice(scale: dict[str, Any]) -> str:
    """How λ, and with several to choose from the sum, was come by."""
    several, way = scale.get("other_sums"), scale.get("sum", "syn2real")
    found = f"λ = {scale['chosen']:g}"
    if several or way != "syn2real":
        found = f"{NAMES[way]}, {found}"
    if not scale["chosen_by"]:
        return f"{found}, as given"
    found += ": both" if several else ","
    return f"{found} chosen on {', '.join(scale['chosen_by'])} without real target speech"


def is_adapted(system: dict[str, Any]) -> bool:
    """Whether a system of a study is the adapted model: no other has a λ."""
    return system["scale"] is not None


def adapted(systems: list[dict[str, Any]], heard: str) -> dict[str, Any] | None:
    """The adapted model in this window, whichever sum it is."""
    return next((s for s in systems if is_adapted(s) and s["window"] == heard), None)


def windows(systems: list[dict[str, Any]]) -> list[str]:
    """Those that the adapted model was heard in, that which it was tuned for first."""
    return [heard for heard in WINDOWS if adapted(systems, heard)]


def find(systems: list[dict[str, Any]], name: str, heard: str) -> dict[str, Any] | None:
    """The system of this name and window."""
    return next((s for s in systems if s["name"] == name and s["window"] == heard), None)


def headlines(systems: list[dict[str, Any]]) -> list[str]:
    """What adapting did beside tuning on synthetic target speech alone, whichever way it fell: a sentence a window."""
    return [f"{WINDOWS[heard].capitalize()}: {_headline(systems, heard)}" for heard in windows(systems)]


def _headline(systems: list[dict[str, Any]], heard: str) -> str:
    before, after = find(systems, "target-synthetic", heard), adapted(systems, heard)
    if before is None or after is None:
        return "No comparison was made."
    unchanged = f"as many errors as without (λ = {after['scale']:g})"
    test = {**after, "rate_a": after["wer"], "rate_b": before["wer"], "level": after["ci_level"]}
    return effect(test, unchanged=unchanged)


def effect(
    test: dict[str, Any],
    baseline: str = "tuning on synthetic speech alone",
    unchanged: str | None = None,
) -> str:
    """What a paired test found, as a sentence; ``rate_b`` is the baseline's, ``level`` that of the interval."""
    rates = f"WER {percent(test['rate_b'])} → {percent(test['rate_a'])}"
    if test["relative"] is None:
        return f"{rates}: the baseline made no errors to mend."
    if test["relative"] == 0:
        return f"{rates}: {unchanged or 'as many errors as before'}."
    kind, sign = ("fewer", 100) if test["relative"] > 0 else ("more", -100)
    size = f"{sign * test['relative']:.0f} % {kind} errors than {baseline}"
    if test["relative_low"] is None:  # a draw in which the baseline makes no error has no ratio
        return f"{rates}: {size} (too few errors for an interval, {chances(test)})."
    low, high = sorted((sign * test["relative_low"], sign * test["relative_high"]))
    level = f"{100 * test['level']:.0f} % interval"
    return f"{rates}: {size} ({level} {minus(f'{low:.0f} to {high:.0f}')} %, {chances(test)})."


def chances(test: dict[str, Any]) -> str:
    """The p-value of the bootstrap, and that of flipping signs, which cards of before have not."""
    flips = test.get("flip_p")
    return f"p {equals(test['p'])}" + (f", by sign flips {p_value(flips)}" if flips is not None else "")


def intervals_by(systems: list[dict[str, Any]]) -> str:
    """What the intervals rest on."""
    first = systems[0]
    return (
        f"{100 * first['ci_level']:.0f} % bootstrap intervals over {first['ci_units']} {first['ci_unit']}s; "
        "p: paired bootstrap against target-synthetic in the same window, and by flipping signs, which is the one to "
        f"trust where the {first['ci_unit']}s are few; not corrected for several systems; normaliser: "
        f"{first['normaliser']}"
    )


def equals(p: float) -> str:
    """``= 0.012`` or ``< 0.001``."""
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"
