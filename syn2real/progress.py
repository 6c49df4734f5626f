"""Progress on stderr for every long step: a bar on a terminal, a few plain lines elsewhere."""

from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")


class Bar:
    """A progress bar with time left. Where stderr is no terminal it prints its title when done."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total: int | None = None

    def start(self, total: int | None, done: int = 0) -> None:
        """Show the bar, ``done`` of ``total`` steps already behind it."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._total = total
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._bar = RichProgress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(self.title, total=total, completed=done)
        self._bar.start()

    def advance(self) -> None:
        """One step done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def note(self, text: str) -> None:
        """Show a figure beside the title."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{self.title} · {text}")

    def stop(self) -> None:
        """Take the bar down, leaving its last state."""
        if self._bar is None:
            return
        self._bar.stop()
        if self._bar.disable:
            task = self._bar.tasks[0]
            done = "done" if self._total is None else f"{self._total}"
            if self._total is not None and task.completed < self._total:
                done = f"{task.completed:.0f} of {self._total}"
            say(f"{task.description}: {done} in {task.elapsed or 0:.0f} s")
        self._bar = None


def track(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` under a progress bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    bar = Bar(title)
    bar.start(total)
    try:
        for item in items:
            yield item
            bar.advance()
    finally:
        bar.stop()


def say(message: str) -> None:
    """One line on stderr, so that stdout stays a machine's."""
    from rich.console import Console

    Console(stderr=True, highlight=False, emoji=False).print(message, markup=False)
