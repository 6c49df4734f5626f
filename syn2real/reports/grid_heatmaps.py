"""Heat maps of a grid's report: how alike vectors are, and what each does on each target."""

from typing import Any

from syn2real.reports.drawing import INK, figure_of, png, style
from syn2real.reports.wording import minus, signed

# Orange below 0, blue above it: told apart with any kind of colour vision.
_DIVERGING = ("#7f3b08", "#d9801a", "#fbdcb0", "#f3f4f6", "#b9d6ee", "#3f8fc9", "#08306b")


def draw_vectors(record: dict[str, Any]) -> bytes | None:
    """PNG of the cosines between vectors: whole, and by group of tensors; nothing where there are none."""
    vectors = record["vectors"]
    if not vectors:
        return None
    names = vectors["names"]
    norms = [f"{name}  |τ| {norm:.3g}" for name, norm in zip(names, vectors["norms"], strict=True)]
    maps = [("All tensors", vectors["cosine"]), *(vectors.get("groups") or {}).items()]
    across = 2 if len(maps) == 4 else min(3, len(maps))
    down = -(-len(maps) // across)
    side = max(2.3, 0.46 * len(names))
    label = 0.5 + 0.065 * max(map(len, norms))
    with style():
        figure = figure_of(
            label + (side + 0.35) * across + 0.5, (side + 0.7) * down + 0.07 * max(map(len, names)) + 0.2
        )
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat[len(maps) :]:
            axes.set_visible(False)
        image = None
        for index, (axes, (title, cosines)) in enumerate(zip(grid.flat, maps, strict=False)):
            left, bottom = index % across == 0, index + across >= len(maps)
            texts = [["–" if value is None else f"{round(value, 2) + 0.0:.2f}" for value in row] for row in cosines]
            image = _heat(axes, cosines, 1.0, texts)
            axes.set_yticks(range(len(names)), norms if left and index == 0 else names if left else [])
            axes.set_xticks(range(len(names)), names if bottom else [], rotation=40, ha="right")
            axes.set_title(title.replace("_", " "))
        _colour_bar(figure, image, grid, "cosine")
        return png(figure)


def draw_transfer(record: dict[str, Any]) -> bytes | None:
    """PNG of what each vector does on each target: change of errors, and WER; nothing where that was not tried."""
    transfer = record["transfer"]
    if not transfer:
        return None
    rows, columns = transfer["rows"], transfer["columns"]
    change = [[None if value is None else -100 * value for value in row] for row in transfer["relative"]]
    texts = [
        ["–" if value is None else f"{signed(value, 0)} %\n{100 * wer:.1f}" for value, wer in zip(*pair, strict=True)]
        for pair in zip(change, transfer["wer"], strict=True)
    ]
    most = max((abs(value) for row in change for value in row if value is not None), default=1.0) or 1.0
    with style():
        label = 0.4 + 0.075 * max(map(len, rows))
        figure = figure_of(label + max(2.6, 0.82 * len(columns)) + 0.9, 0.9 + max(1.8, 0.55 * len(rows)))
        axes = figure.subplots()
        image = _heat(axes, change, most, texts, worse=1)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(columns)), columns, rotation=30 if len(columns) > 8 else 0)
        axes.set_ylabel("vector of")
        axes.set_xlabel("added to the model of")
        _colour_bar(figure, image, axes, "change of errors, %")
        return png(figure)


def _heat(axes: Any, given: list[list[float | None]], most: float, texts: list[list[str]], worse: int = -1) -> Any:
    """A heat map around 0 with its figures in the cells; orange where values have the sign of ``worse``."""
    from matplotlib.colors import LinearSegmentedColormap

    values = [[value or 0.0 for value in row] for row in given]
    colours = LinearSegmentedColormap.from_list("around 0", _DIVERGING[::-worse])
    image = axes.imshow(values, cmap=colours, vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    size = 8 if len(values[0]) < 9 else 6
    for y, row in enumerate(texts):
        for x, text in enumerate(row):
            red, green, blue, _ = colours(image.norm(values[y][x]))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.48  # as bright as the eye finds them
            axes.text(x, y, minus(text), ha="center", va="center", size=size, color="white" if dark else INK)
    axes.set_xticks([x + 0.5 for x in range(len(values[0]) - 1)], minor=True)
    axes.set_yticks([y + 0.5 for y in range(len(values) - 1)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.4)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _colour_bar(figure: Any, image: Any, axes: Any, named: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    bar.set_label(named, size=8.5)
