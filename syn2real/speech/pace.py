"""How fast a run goes: a bar on a terminal, a line every minute where stderr is a log."""

import sys
import time

from syn2real.progress import Bar, say

NOTE_EVERY = 0.5  # s
SAY_EVERY = 60.0  # s


class Pace:
    """Counts things from ``done`` to ``total``; shows how many a second, and the time left."""

    def __init__(self, title: str, things: str, total: int, done: int) -> None:
        self._bar = Bar(title)
        self._title, self._things = title, things
        self._total, self._done = total, done
        self._start = self._noted = self._said = time.monotonic()
        self._made = 0
        self._heard = 0.0
        self._bar.start(total, done)

    def advance(self, seconds: float = 0.0) -> None:
        """One more, of so many seconds of audio where it is heard."""
        self._made += 1
        self._heard += seconds
        self._bar.advance()
        now = time.monotonic()
        if now - self._noted < NOTE_EVERY:
            return
        self._noted = now
        rate = self._made / (now - self._start)
        speed = f"{rate:.1f} {self._things}/s"
        if self._heard:
            speed += f", {self._heard / (now - self._start):.1f}× real time"
        self._bar.note(speed)
        if now - self._said >= SAY_EVERY and not sys.stderr.isatty():
            self._said = now
            done = self._done + self._made
            minutes = max(0, self._total - done) / rate / 60
            say(f"{self._title}: {done:,} of {self._total:,}, {speed}, {minutes:.0f} min left")

    def close(self) -> None:
        """Take the bar down."""
        self._bar.stop()
