"""The λ curve as a picture."""

from typing import Any

from syn2real.reports.drawing import png
from syn2real.reports.wording import choice, find


def draw_curve(record: dict[str, Any]) -> bytes:
    """PNG of WER against λ on the target's real recordings, and on the proxies that chose λ."""
    from matplotlib.figure import Figure

    scale = record["lambda"]
    figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    target, proxy = scale["curve"], scale["proxy_curve"]
    axes.plot([p["scale"] for p in target], [100 * p["wer"] for p in target], "o-", color="#1f5fa8", label="target")
    if proxy:
        named = f"proxy: {', '.join(scale['chosen_by'])}"
        axes.plot([p["scale"] for p in proxy], [100 * p["wer"] for p in proxy], "s--", color="#8a8a8a", label=named)
    axes.axvline(scale["chosen"], color="#c0392b", linewidth=1, label=choice(scale))
    real = find(record["systems"], "source-real", "short")
    if real is not None:
        axes.axhline(100 * real["wer"], color="#2e8b57", linestyle=":", linewidth=1, label="source, real")
    chosen = find(record["systems"], "syn2real", "short")
    if chosen is not None:
        bounds = [[100 * (chosen["wer"] - chosen["ci_low"])], [100 * (chosen["ci_high"] - chosen["wer"])]]
        axes.errorbar([chosen["scale"]], [100 * chosen["wer"]], yerr=bounds, color="#1f5fa8", capsize=4)
    axes.set_xlabel("λ, how much of the vector is added")
    axes.set_ylabel("word error rate, %")
    axes.set_title(record["title"])
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return png(figure)
