"""Curves and bars of a grid's report: rates by target, and WER against λ."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from syn2real.reports import grid_wording as words
from syn2real.reports.drawing import INK, LINE, figure_of, png, style
from syn2real.reports.grid_tables import lambdas_of, shown_systems
from syn2real.reports.wording import name_of

PANELS = 15  # at most, in the picture of λ curves
ROWS = 4  # conditions at most, in the picture of targets
# Told apart with any kind of colour vision, and in grey.
TARGET, PROXY, CHOSEN, ORACLE_INK = "#1f5fa8", "#d9801a", "#1f2933", "#7b8794"
BARS = ("#c3c9d0", "#e5a04c", "#3b79bd", "#6fb3a0")


def draw_domains(record: dict[str, Any]) -> bytes | None:
    """PNG of bars with intervals: every target, and all together; a row for each condition, in its first window."""
    firsts = [windows[0] for windows in words.conditions(record)][:ROWS]
    comparison = record["comparison"]
    wide = max(6.5, 1.6 + 1.05 * (1 + max(len(group["targets"]) for group in firsts)))
    with style():
        figure = figure_of(wide, 0.6 + 2.6 * len(firsts))
        panels = figure.subplots(len(firsts), 1, squeeze=False, sharey=True)[:, 0]
        for axes, group in zip(panels, firsts, strict=True):
            shown = shown_systems(group, comparison)
            columns = ["all targets", *group["targets"]]
            thick = 0.8 / len(shown)
            for index, row in enumerate(shown):
                parts = {part["target"]: part for part in row["domains"]} | {"all targets": row}
                for place, column in enumerate(columns):
                    if column in parts:
                        x = place + (index - (len(shown) - 1) / 2) * thick
                        named = name_of(row["name"]) if place == 0 else None
                        _bar(axes, x, thick * 0.9, parts[column], BARS[index % len(BARS)], named)
            axes.axvline(0.5, color=LINE, linewidth=1)
            axes.set_xticks(range(len(columns)), columns, rotation=0 if len(columns) < 9 else 30)
            axes.tick_params(axis="x", length=0)
            axes.set_ylabel("WER, %")
            axes.yaxis.grid(color=LINE, linewidth=0.6)
            axes.set_axisbelow(True)
            if len(firsts) > 1:
                axes.set_title(words.condition_name(group))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), frameon=False)
        return png(figure)


def draw_lambda(record: dict[str, Any]) -> bytes | None:
    """PNG of WER against λ, a panel for each system of each condition; nothing where no λ was tried."""
    panels = _panels(record)
    if not panels:
        return None
    beside = len({panel[0]["model"] + panel[0]["engines"] for panel in panels})
    across = beside if beside in (2, 3) else min(3, len(panels))  # a column for each condition, if that can be
    down = -(-len(panels) // across)
    several = len(words.conditions(record)) > 1
    with style():
        figure = figure_of(4.4 if across == 1 else 3.1 * across, 0.7 + 2.55 * down)
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (group, system, rows) in zip(grid.flat, panels, strict=False):
            _curves(axes, rows)
            title = fill(name_of(system), 34)
            axes.set_title(f"{title}\n{words.condition_name(group)}" if several else title)
        for axes in grid[:, 0]:
            axes.set_ylabel("WER, %")
        for axes in grid[-1]:
            axes.set_xlabel("λ")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols={1: 2, 2: 3}.get(across, 5), frameon=False)
        return png(figure)


def _bar(axes: Any, x: float, thick: float, part: dict[str, Any], colour: str, named: str | None) -> None:
    axes.bar(x, 100 * part["wer"], thick, color=colour, label=named)
    if part["ci_low"] is not None:
        axes.vlines(x, 100 * part["ci_low"], 100 * part["ci_high"], color=INK, linewidth=0.9)


def _panels(record: dict[str, Any]) -> list[tuple[dict[str, Any], str, list[dict[str, Any]]]]:
    """(group, system, its choices): the headline of every condition first; only these when there are many."""
    headline = record["comparison"]["headline"]
    found = []
    for windows in words.conditions(record):
        # Where a sum was chosen, a λ of one target's is not of the kind of another's.
        alike = [row for row in lambdas_of(record, windows[0]) if not row.get("sum")]
        with_curves = [row for row in alike if row["curve"] or row["target_curve"]]
        for system in words.ordered({row["system"] for row in with_curves}):
            found.append((windows[0], system, [row for row in with_curves if row["system"] == system]))
    place = words.ordered({panel[1] for panel in found}).index
    found.sort(key=lambda panel: (panel[1] != headline, place(panel[1])))
    if len(found) > PANELS:
        found = [panel for panel in found if panel[1] == headline] or found
    return found[:PANELS]


def _curves(axes: Any, rows: list[dict[str, Any]]) -> None:
    """The target's curves, one thin line a target and the sum; what chose λ; the λ chosen, and the oracles'."""
    targets: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        targets.setdefault(row["target"], []).append(row)
    thin = "one target" if len(targets) > 1 else None
    for members in targets.values() if thin else ():
        axes.plot(*_pooled([row["target_curve"] for row in members]), color=TARGET, alpha=0.28, lw=0.9, label=thin)
        thin = None
    xs, ys = _pooled([row["target_curve"] for row in rows])
    axes.plot(xs, ys, "o-", color=TARGET, markersize=3.5, lw=1.8, label="target, test")
    chosen_on = _pooled([row["curve"] for row in rows])
    if chosen_on[0]:
        axes.plot(*chosen_on, "s--", color=PROXY, markersize=3, lw=1.3, label="what chose λ")
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.16 * (high - low), high)  # room for the marks
    for key, colour, height, named in (("chosen", CHOSEN, 0.075, "chosen"), ("oracle", ORACLE_INK, 0.02, "oracle")):
        marks = [row[key] for row in rows if isinstance(row[key], int | float)]
        if marks:
            # Of several cells with the same λ, one mark as large as they are many.
            places = sorted(set(marks))
            sizes = [12 + 40 * marks.count(place) / len(marks) for place in places]
            shape = "v" if key == "chosen" else "D"
            axes.scatter(
                places, [height] * len(places), sizes, transform=axes.get_xaxis_transform(), color=colour,
                marker=shape, label=f"λ {named}", clip_on=False, zorder=3, linewidths=0,
            )  # fmt: skip
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _pooled(curves: Sequence[list[dict[str, Any]]]) -> tuple[list[float], list[float]]:
    """λ and WER in percent of summed errors, at every λ that all curves have."""
    known = [{point["scale"]: point for point in curve} for curve in curves if curve]
    if not known:
        return [], []
    scales = sorted(set.intersection(*(set(points) for points in known)))
    rates = [sum(p[s]["errors"] for p in known) / max(1, sum(p[s]["words"] for p in known)) for s in scales]
    return scales, [100 * rate for rate in rates]
