"""The λ curve as a picture."""

from typing import Any

from syn2real.reports.drawing import png
from syn2real.reports.wording import NAMES, adapted, choice, find, windows


def draw_curve(record: dict[str, Any]) -> bytes:
    """PNG of WER against λ on the target's real recordings, and on the proxies that chose λ, there of every sum that
    they could choose."""
    from matplotlib.figure import Figure

    scale = record["lambda"]
    figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.plot(*_line(scale["curve"]), "o-", color="#1f5fa8", label=f"on the target: {NAMES[scale['sum']]}")
    if scale["proxy_curve"]:
        named = f"on proxies: {NAMES[scale['sum']]}"
        axes.plot(*_line(scale["proxy_curve"]), "s--", color="#8a8a8a", label=named)
    for (way, curve), shape in zip(scale["other_sums"].items(), "^v", strict=False):
        axes.plot(*_line(curve), f"{shape}:", color="#a0a0a0", markersize=4, lw=1, label=f"on proxies: {NAMES[way]}")
    axes.axvline(scale["chosen"], color="#c0392b", linewidth=1, label=choice(scale))
    systems = record["systems"]
    heard = next(iter(windows(systems)), "short")
    real = find(systems, "source-real", heard)
    if real is not None:
        axes.axhline(100 * real["wer"], color="#2e8b57", linestyle=":", linewidth=1, label="source, real")
    chosen = adapted(systems, heard)
    if chosen is not None:
        bounds = [[100 * (chosen["wer"] - chosen["ci_low"])], [100 * (chosen["ci_high"] - chosen["wer"])]]
        axes.errorbar([chosen["scale"]], [100 * chosen["wer"]], yerr=bounds, color="#1f5fa8", capsize=4)
    axes.set_xlabel("λ")
    axes.set_ylabel("word error rate, %")
    axes.set_title(record["title"])
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(framealpha=0.85, edgecolor="none", fontsize=8)
    return png(figure)


def _line(curve: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [point["scale"] for point in curve], [100 * point["wer"] for point in curve]
