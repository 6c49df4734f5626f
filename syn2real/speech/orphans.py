"""No worker process outlives the one it works for."""

import os


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
