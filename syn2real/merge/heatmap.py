"""Similarities as a picture: a heat map of the whole, and one row per pair across the layers."""

from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

from syn2real.errors import NotInstalled, UserError
from syn2real.merge.similarity import Similarity
from syn2real.sealing import sealed_file

PAIRS = 15  # at most, in the picture of layers
# Orange for opposed, blue for alike, grey at 0: told apart with any kind of colour vision.
_COLOURS = ("#7f3b08", "#d9801a", "#fbdcb0", "#f3f4f6", "#b9d6ee", "#3f8fc9", "#08306b")
_INK, _FAINT = "#1f2933", "#7b8794"


def require_drawable(path: Path) -> None:
    """Raise `UserError` for a file that is no PNG by its name, and `NotInstalled` without matplotlib."""
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: must end in .png")
    if find_spec("matplotlib") is None:
        raise NotInstalled("matplotlib", "speech")


def draw(similarity: Similarity, path: Path | str) -> None:
    """Write a PNG of the cosines; values stand in the cells. Raises what `require_drawable` does."""
    path = Path(path)
    require_drawable(path)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 9.5, "text.color": _INK}
    style |= {"axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK}
    with matplotlib.rc_context(style):
        names = [_short(name) for name in similarity.names]
        count = len(names)
        pairs = list(combinations(range(count), 2))[:PAIRS]
        stacks = _stacks(similarity)
        side = max(2.0, 0.62 * count + 0.4)
        left = 0.3 + 0.075 * max(map(len, names))
        label = 0.2 + 0.073 * max(len(f"{names[i]} · {names[j]}") for i, j in pairs)
        strips = [max(2.2, 0.24 * len(layers)) for _, layers in stacks]
        strip_height = max(0.5, 0.34 * len(pairs))
        beside = sum(strips) + 0.35 * len(strips) + label + 0.25 if stacks else 0.0
        foot = 0.28 + 0.05 * max(map(len, names))
        height = 0.85 + max(side + foot, strip_height + 0.6 if stacks else 0.0)
        figure = Figure(figsize=(left + side + 0.95 + beside, height), dpi=160, facecolor="white")
        FigureCanvasAgg(figure)
        width = figure.get_figwidth()

        def place(x: float, y: float, w: float, h: float) -> Any:
            """Axes by inches from the left and from the top."""
            return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

        colours = LinearSegmentedColormap.from_list("alike", _COLOURS).with_extremes(bad="#dfe3e8")
        options = {"cmap": colours, "vmin": -1.0, "vmax": 1.0, "aspect": "auto", "interpolation": "nearest"}
        cosines = similarity.whole.cosines.numpy()
        axes = place(left, 0.85, side, side)
        image = axes.imshow(cosines, **options)
        axes.set_xticks(range(count), names, rotation=35 if max(map(len, names)) > 5 else 0, ha="right")
        if max(map(len, names)) <= 5:
            axes.set_xticks(range(count), names)
        axes.set_yticks(range(count), names)
        for i in range(count):
            for j in range(count):
                _write(axes, j, i, cosines[i, j], 9.5 if count < 9 else 7)
        _tidy(axes)
        _title(figure, left / width, 1 - 0.36 / height, "Cosine of task vectors", f"{_parameters(similarity)} elements")
        bar = figure.colorbar(image, cax=place(left + side + 0.16, 0.85, 0.11, side), ticks=[-1, -0.5, 0, 0.5, 1])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=8)
        at = left + side + 0.95 + label
        for index, ((stack, layers), wide) in enumerate(zip(stacks, strips, strict=True)):
            strip = [[similarity.layers[name].cosines[i, j].item() for _, name in layers] for i, j in pairs]
            axes = place(at, 0.85, wide, strip_height)
            axes.imshow(strip, **options)
            step = max(1, -(-len(layers) // 16))
            axes.set_xticks(range(0, len(layers), step), [str(number) for number, _ in layers][::step])
            axes.set_yticks(range(len(pairs)), [f"{names[i]} · {names[j]}" for i, j in pairs] if index == 0 else [])
            if wide / len(layers) > 0.34:
                for i, row in enumerate(strip):
                    for j, value in enumerate(row):
                        _write(axes, j, i, value, 7)
            axes.set_xlabel("layer", fontsize=8.5, color=_FAINT, labelpad=2)
            _tidy(axes)
            _title(figure, at / width, 1 - 0.36 / height, "By layer" if index == 0 else "", stack.rstrip("."))
            at += wide + 0.35
        with sealed_file(path) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})


def _stacks(similarity: Similarity) -> list[tuple[str, list[tuple[int, str]]]]:
    """(stack, [(index, layer's name)]) for every stack with two layers or more."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in similarity.layers:
        digits = len(name) - len(name.rstrip("0123456789"))
        found.setdefault(name[:-digits], []).append((int(name[-digits:]), name))
    stacks = [(stack, layers) for stack, layers in found.items() if len(layers) > 1]
    return sorted(stacks, key=lambda item: "decoder" in item[0])[:3]


def _write(axes: Any, x: int, y: int, value: float, size: float) -> None:
    text = "–" if value != value else f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")
    colour = "white" if value == value and abs(value) > 0.62 else _INK
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color=colour)


def _tidy(axes: Any) -> None:
    """White lines between cells, no frame, no ticks."""
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    columns, rows = round(axes.get_xlim()[1] + 0.5), round(axes.get_ylim()[0] + 0.5)
    axes.set_xticks([x - 0.5 for x in range(1, columns)], minor=True)
    axes.set_yticks([y - 0.5 for y in range(1, rows)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.6)
    axes.tick_params(which="minor", length=0)


def _title(figure: Any, x: float, y: float, title: str, below: str) -> None:
    figure.text(x, y, title, fontsize=11.5, fontweight="bold", va="bottom")
    figure.text(x, y - 0.06 / figure.get_figheight(), below, fontsize=8.5, color=_FAINT, va="top")


def _parameters(similarity: Similarity) -> str:
    count = similarity.elements
    for size, unit in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _short(name: str) -> str:
    name = name.removesuffix(".safetensors").replace("$", r"\$")  # or mathematics would begin
    return name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"
