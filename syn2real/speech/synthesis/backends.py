"""Where renditions are spoken: in this process, or in worker processes with one loaded engine each."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.engines import engine_of
from syn2real.speech.synthesis.rendering import render
from syn2real.speech.synthesis.rendition import Rendition

POOL_FROM = 24  # renditions for which starting worker processes (about 1 s) pays


def results(waiting: list[Rendition], folder: Path, workers: int) -> Iterator[str | None]:
    """Make each clip, in order; for each, None or what was wrong."""
    if workers == 1:
        yield from (_make(rendition, folder) for rendition in waiting)
        return
    import multiprocessing

    # Spawned, not forked: the caller may hold torch's threads and a live progress bar, whose locks a fork would copy.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        yield from pool.map(partial(_make, folder=folder), waiting, chunksize=max(1, min(16, len(waiting) // workers)))
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died while speaking; run with 1 worker to see on which text. (A script that starts "
            "workers needs `if __name__ == '__main__':` around its calls.)"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _make(rendition: Rendition, folder: Path) -> str | None:
    """Speak one rendition into its file; None, or what was wrong."""
    try:
        samples = render(rendition)
    except UserError as error:
        sentence = rendition.sentence
        return f"sentence {sentence.id!r} ({sentence.text[:60]!r}) cannot be spoken: {error}"
    audio.write_flac(folder / rendition.file_name, samples)
    return None


def _end_with_parent() -> None:
    """Leave no orphan: a worker whose parent was killed would wait for work for ever."""
    import multiprocessing
    from multiprocessing.connection import wait
    from threading import Thread

    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def worker_count(workers: int | None, waiting: Sequence[Rendition]) -> int:
    """How many processes speak: as many as asked for, else one a core while memory lasts."""
    if workers is not None:
        if workers < 1:
            raise UserError(f"workers must be 1 or more, not {workers}")
        return min(workers, max(1, len(waiting)))
    if len(waiting) < POOL_FROM:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    engines = {(r.voice.engine, r.voice.options): r.voice for r in waiting}.values()
    room = [engine_of(voice).most_processes() for voice in engines]
    return min([cores, len(waiting), *(most for most in room if most is not None)])
