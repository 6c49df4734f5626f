"""What the pictures of a report have in common: type, colours of ink, and bytes that are the same every time."""

from io import BytesIO
from typing import Any

INK, FAINT, LINE = "#1f2933", "#7b8794", "#d5dae0"
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


def style() -> Any:
    """A context in which figures look alike, whatever the user's own settings are."""
    import matplotlib

    return matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE})


def figure_of(width: float, height: float) -> Any:
    """An empty figure, in inches, white."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")


def png(figure: Any) -> bytes:
    """A figure as PNG; the same figure gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
