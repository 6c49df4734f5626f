"""How fast a run goes: a bar on a terminal, a line every minute where stderr is a log."""

import sys
import time

from syn2real.progress import Bar, say

NOTE_EVERY = 0.5  # s
SAY_EVERY = 60.0  # s


class Pace:
    """Counts utterances from ``done`` to ``total``; shows utterances a second and the time left."""

    def __init__(self, total: int, done: int) -> None:
        self._bar = Bar("Speaking")
        self._total, self._done = total, done
        self._start = self._noted = self._said = time.monotonic()
        self._made = 0
        self._bar.start(total, done)

    def advance(self) -> None:
        """One more."""
        self._made += 1
        self._bar.advance()
        now = time.monotonic()
        if now - self._noted < NOTE_EVERY:
            return
        self._noted = now
        rate = self._made / (now - self._start)
        self._bar.note(f"{rate:.1f} utterances/s")
        if now - self._said >= SAY_EVERY and not sys.stderr.isatty():
            self._said = now
            done = self._done + self._made
            minutes = max(0, self._total - done) / rate / 60
            say(f"Speaking: {done:,} of {self._total:,}, {rate:.1f} utterances/s, {minutes:.0f} min left")

    def close(self) -> None:
        """Take the bar down."""
        self._bar.stop()
