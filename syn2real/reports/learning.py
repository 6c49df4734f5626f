"""The learning curve as a picture: losses and learning rate of one fine-tuning, from its ``training.json``."""

from typing import Any

from syn2real.reports.drawing import FAINT, LINE, figure_of, png, style

TRAIN, DEV = "#1f5fa8", "#c0392b"


def draw_learning(record: dict[str, Any], title: str) -> bytes:
    """PNG of the loss on the training clips, on the dev clips where there are any, and the learning rate, by step.

    Each training loss is the mean over the steps since the one before. With dev clips the lowest dev loss, whose model
    was kept, is marked.
    """
    rows = record["log"]
    trained = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    heard = [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]
    rates = [(row["step"], row["learning_rate"]) for row in rows if "learning_rate" in row]
    with style():
        figure = figure_of(7.2, 4.4)
        loss, rate = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        if trained:
            loss.plot(*zip(*trained, strict=True), color=TRAIN, marker="o", markersize=2.5, label="training")
        if heard:
            loss.plot(*zip(*heard, strict=True), color=DEV, marker="s", markersize=3.5, label="dev")
            step, best = min(heard, key=lambda point: point[1])
            loss.annotate(f"kept: {best:.3f}", (step, best), (-4, 8), textcoords="offset points", ha="right", color=DEV)
        if rates:
            rate.plot(*zip(*rates, strict=True), color=FAINT, marker="o", markersize=2.5)
        loss.set_title(f"{title}: {record['steps']} steps over {record['clips']} clips")
        loss.set_ylabel("loss")
        rate.set_ylabel("learning rate")
        rate.set_xlabel("step")
        rate.set_xlim(0, 1.03 * record["steps"])
        rate.set_ylim(bottom=0)
        for axes in (loss, rate):
            axes.grid(color=LINE, linewidth=0.6)
        if trained or heard:
            loss.legend(frameon=False)
        return png(figure)
