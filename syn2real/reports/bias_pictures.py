"""Gaps as pictures: how they are spread over each set of cases, and how they widened while the generator learnt."""

from typing import Any

from syn2real.reports.drawing import FAINT, INK, LINE, figure_of, png, style

_COLOURS = ("#7b8794", "#b7791f", "#1f5fa8", "#c0392b", "#2e8b57", "#6b46c1")


def draw_gaps(record: dict[str, Any]) -> bytes:
    """PNG of the gaps' distribution, by target: of each set the share of cases in each bin, as steps."""
    targets = record["targets"]
    with style():
        figure = figure_of(9.0, 3.4)
        plots = figure.subplots(1, len(targets), sharex=True, sharey=True, squeeze=False)[0]
        for axes, target in zip(plots, targets, strict=True):
            for place, found in enumerate(m for m in record["measured"] if m["target"] == target):
                histogram = found["histogram"]
                shares = [100 * count / found["cases"] for count in histogram["counts"]]
                colour = _COLOURS[place % len(_COLOURS)]
                axes.stairs(shares, histogram["edges"], color=colour, linewidth=1.4, label=found["set"])
                axes.axvline(found["mean_gap"], color=colour, linewidth=0.8, linestyle=":")
            axes.set_title(target)
            axes.set_xlabel("gap; dotted: the mean")
            axes.grid(color=LINE, linewidth=0.5)
        plots[0].set_ylabel("cases, %")
        plots[0].set_xlim(0, max(_end(found["histogram"]) for found in record["measured"]))
        plots[0].legend(frameon=False, fontsize=7)
        return png(figure)


def draw_learning(record: dict[str, Any]) -> bytes:
    """PNG of the gap and the likeness to sentences before, by step of reinforcement, with running means of five."""
    with style():
        figure = figure_of(9.0, 2.8)
        left, right = figure.subplots(1, 2)
        for place, (name, found) in enumerate(record["reinforcement"].items()):
            colour = _COLOURS[(place + 2) % len(_COLOURS)]
            for axes, value in ((left, "gap"), (right, "likeness")):
                points = [(row["step"], row[value]) for row in found["curve"] if row[value] is not None]
                steps, values = [step for step, _ in points], [y for _, y in points]
                axes.plot(steps, values, color=FAINT, linewidth=0.6)
                axes.plot(steps, _running(values), color=colour, linewidth=1.6, label=f"against {name}")
        left.set_ylabel("mean gap of the step's cases", color=INK)
        right.set_ylabel("likeness to sentences before", color=INK)
        for axes in (left, right):
            axes.set_xlabel("step")
            axes.grid(color=LINE, linewidth=0.5)
        left.legend(frameon=False, fontsize=7)
        return png(figure)


def _end(histogram: dict[str, Any]) -> float:
    """Where the last bin ends that holds a case."""
    last = max(place for place, count in enumerate(histogram["counts"]) if count)
    return float(histogram["edges"][last + 1])


def _running(values: list[float], window: int = 5) -> list[float]:
    """Each with up to four before it, averaged."""
    parts = (values[max(0, place + 1 - window) : place + 1] for place in range(len(values)))
    return [sum(part) / len(part) for part in parts]
