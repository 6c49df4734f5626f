"""Safety against usefulness as a picture: each merge's path, and where the models without a merge lie."""

from typing import Any

from syn2real.reports.alignment_tables import NAMES, name_of
from syn2real.reports.drawing import FAINT, INK, LINE, figure_of, png, style

STOCK = "model_stock"  # a merge without a scale
NEAR = 3.0  # points between two marks, in percent, below which their labels would stand on each other
_COLOURS = ("#1f5fa8", "#c0392b", "#2e8b57", "#b7791f", "#6b46c1")


def draw_pareto(record: dict[str, Any]) -> bytes:
    """PNG of the task against attack success in the test, with both intervals; and each merge's path in validation."""
    with style():
        figure = figure_of(9.0, 4.2)
        test, paths = figure.subplots(1, 2, sharey=True)
        _test(test, record)
        _paths(paths, record)
        return png(figure)


def _test(axes: Any, record: dict[str, Any]) -> None:
    colours, named = _colours(record), list[tuple[float, float]]()
    for system in record["systems"]:
        attack, utility = system["attack_success"], system["utility"]
        if attack["rate"] is None or utility["rate"] is None:
            continue
        merged = system["system"] in colours
        colour = colours.get(system["system"], FAINT)
        x, y = 100 * attack["rate"], 100 * utility["rate"]
        bars = {
            "xerr": [[max(0, x - 100 * attack["ci_low"])], [max(0, 100 * attack["ci_high"] - x)]],
            "yerr": [[max(0, y - 100 * utility["ci_low"])], [max(0, 100 * utility["ci_high"] - y)]],
        }
        axes.errorbar([x], [y], **bars, fmt="o" if merged else "s", color=colour, capsize=2, elinewidth=1)
        # Methods that come to the same have their names beneath each other.
        up = 5 - 9 * _near((x, y), named)
        axes.annotate(name_of(system), (x, y), xytext=(5, up), textcoords="offset points", fontsize=7, color=INK)
    axes.set_title("Test")
    metric = record["recipe"]["task"]["metric"]
    axes.set_ylabel("task, % right" if metric == "exact" else f"task, {metric}, %")
    _dress(axes)


def _paths(axes: Any, record: dict[str, Any]) -> None:
    colours, written = _colours(record), dict[str, list[tuple[float, float]]]()
    for name, curve in record["curves"].items():
        points = [(p["scale"], p["attack_success"]["rate"], p["utility"]["rate"]) for p in curve]
        points = [point for point in points if None not in point]
        x, y = [100 * attack for _, attack, _ in points], [100 * utility for _, _, utility in points]
        axes.plot(x, y, "o-", color=colours[name], markersize=4, linewidth=1, label=NAMES.get(name, name))
        for (scale, *_), across, up in zip(points, x, y, strict=True):
            if _near((across, up), written.setdefault(f"{scale:g}", [])):
                continue
            weight = "bold" if scale == record["chosen"][name] else "normal"
            axes.annotate(
                f"{scale:g}", (across, up), xytext=(3, 3), textcoords="offset points", fontsize=7, fontweight=weight
            )
    axes.set_title("Validation, by λ, γ or α (bold: chosen)")
    axes.legend(frameon=False, fontsize=7)
    _dress(axes)


def _near(point: tuple[float, float], others: list[tuple[float, float]]) -> int:
    """How many of the others, to which it is added, the point lies upon."""
    found = sum(abs(point[0] - x) < NEAR and abs(point[1] - y) < NEAR for x, y in others)
    others.append(point)
    return found


def _dress(axes: Any) -> None:
    axes.set_xlabel("attack success, %: further left is safer")
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    axes.grid(color=LINE, linewidth=0.5)


def _colours(record: dict[str, Any]) -> dict[str, str]:
    """A merge's colour, the same on both sides, by its name."""
    merged = [each["system"] for each in record["systems"] if each["scale"] is not None or each["system"] == STOCK]
    return {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(merged)}
