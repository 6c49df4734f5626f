"""Worker processes: begun anew and not forked, and none outlives the one it works for."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from syn2real.errors import UserError


def spawned(workers: int, begin: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """A pool whose processes begin with a call of ``begin``. Raises `UserError` when they cannot be started."""
    import multiprocessing

    # Spawned, not forked: the caller may hold torch's threads and a live progress bar, whose locks a fork copies.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=begin, initargs=arguments)
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise UserError(
            "worker processes cannot be started; run with 1 worker. (A script that starts workers needs "
            "`if __name__ == '__main__':` around its calls.)"
        ) from error
    return pool


def turn() -> int:
    """Which of the processes begun by its parent this one is, from 0; of a process that nobody spawned, 0."""
    import multiprocessing

    number = re.search(r"\d+$", multiprocessing.current_process().name)
    return int(number[0]) - 1 if number else 0


def end_with_parent() -> None:
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
