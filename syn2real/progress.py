"""A progress bar on stderr for every long step; plain lines of text where stderr is not a terminal."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` under a progress bar with time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if not console.is_terminal:
        yield from items
        console.print(f"{description}: {total if total is not None else 'done'}", highlight=False)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield from bar.track(items, total=total, description=description)


def say(message: str) -> None:
    """One line on stderr, so that stdout stays a machine's."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(message)
