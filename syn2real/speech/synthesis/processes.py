"""Worker processes, each with engines of its own. One that dies costs the sentence it died of and no other."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from syn2real.speech.engines import engine_of
from syn2real.speech.spawning import end_with_parent, spawned
from syn2real.speech.synthesis.backends import DIED, Chunks, Place, keep, make, repeat
from syn2real.speech.synthesis.journal import Journal
from syn2real.speech.synthesis.ledger import Ledger
from syn2real.speech.synthesis.outcome import Outcome
from syn2real.speech.synthesis.rendition import Rendition

POOL_FROM = 24  # renditions for which starting worker processes (about 1 s) pays


class Processes:
    """A pool of worker processes. Scripts that use it need the usual ``if __name__ == "__main__":``."""

    def __init__(self, place: Place, workers: int) -> None:
        self._place = place
        self._workers = workers
        self._pool = self._start()

    def speak(self, renditions: Sequence[Rendition]) -> Iterator[tuple[Rendition, Outcome]]:
        """What came of each, as they finish."""
        chunks = Chunks(renditions, self._workers)
        running: dict[Future[tuple[list[Outcome], float]], list[Rendition]] = {}
        while chunks or running:
            try:
                while chunks and len(running) < 2 * self._workers:
                    chunk = chunks.take()
                    try:
                        running[self._pool.submit(_speak, chunk)] = chunk
                    except BrokenProcessPool:
                        chunks.back(chunk)
                        raise
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcomes, seconds = future.result()
                    chunks.took(seconds)
                    yield from zip(running.pop(future), outcomes, strict=True)
            except BrokenProcessPool:
                lost = [rendition for chunk in running.values() for rendition in chunk]
                running.clear()
                self._restart()
                yield from self._one_by_one(lost)

    def repeat(self, rendition: Rendition) -> str | None:
        """Speak it in a worker and keep nothing; what was wrong."""
        try:
            return self._pool.submit(repeat, rendition).result()
        except BrokenProcessPool:
            self._restart()
            return DIED

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _one_by_one(self, lost: list[Rendition]) -> Iterator[tuple[Rendition, Outcome]]:
        """What was in the hands of workers when one died, each alone, to find what it died of."""
        ledger = Ledger(self._place.directory)
        for rendition in lost:
            outcome = ledger.clip(rendition)
            if outcome is None:
                try:
                    ((outcome,), _) = self._pool.submit(_speak, [rendition]).result()
                except BrokenProcessPool:
                    self._restart()
                    outcome = Outcome(rendition.file_name, rendition.attempt, problem=f"{rendition.voice.id}: {DIED}")
            yield rendition, outcome

    def _restart(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return spawned(self._workers, _begin, self._place)


def worker_count(workers: int | None, waiting: Sequence[Rendition]) -> int:
    """How many processes speak: as many as asked for, else one a core while memory lasts."""
    if workers is not None:
        return min(workers, max(1, len(waiting)))
    if len(waiting) < POOL_FROM:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    engines = {(r.voice.engine, r.voice.options): r.voice for r in waiting}.values()
    room = [engine_of(voice).most_processes() for voice in engines]
    return min([cores, len(waiting), *(most for most in room if most is not None)])


class _Worker:
    """What a worker process keeps from one portion to the next, beside the engines themselves."""

    place: Place
    journal: Journal


def _begin(place: Place) -> None:
    _Worker.place = place
    _Worker.journal = place.journal()
    end_with_parent()


def _speak(renditions: list[Rendition]) -> tuple[list[Outcome], float]:
    """Speak in a worker: what came of each, and the seconds it took."""
    start = time.monotonic()
    outcomes = [keep(make(rendition, _Worker.place.judge), _Worker.journal) for rendition in renditions]
    return outcomes, time.monotonic() - start
