"""The streaming engine: pieces in, safetensors shards out, in memory that does not grow with the model.

Each of a few threads takes a tensor, reads it, computes it and stores it, a block at a time, so that one thread's
reading overlaps another's arithmetic; shards are allocated whole beforehand and filled in any order. A flusher thread
follows: it forces finished tensors to disk while others are computed, then enters them in the journal. Tensors are
handed out a few ahead and no more, largest first within each shard, shards in order.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from syn2real.merge.allocation import kept_memory
from syn2real.merge.formats.safetensors_writer import SafetensorsWriter
from syn2real.merge.journal import Journal
from syn2real.merge.pieces import Piece
from syn2real.merge.threads import default_threads, one_thread_each

METADATA = {"format": "pt"}  # transformers refuses safetensors that do not say so
FLUSHED = 64 << 20  # bytes computed between two flushes
Layout = Mapping[str, Mapping[str, Piece]]  # shard → tensor name → piece


def execute(
    layout: Layout,
    directory: Path,
    journal: Journal,
    *,
    threads: int | None = None,
    on_tensor: Callable[[str], None] | None = None,
) -> None:
    """Fill ``directory`` with the shards of ``layout``, but for what ``journal`` says is there.

    ``on_tensor`` is called with each name once it is computed. The bytes do not depend on ``threads``. Whatever a
    piece raises stops all threads and is raised here.
    """
    resumed = bool(journal.done)
    with ExitStack() as stack:
        writers = {}
        for shard, part in layout.items():
            infos = {name: piece.info for name, piece in part.items()}
            writer = SafetensorsWriter(directory / shard, infos, METADATA, keep=resumed)
            writers[shard] = stack.enter_context(writer)
        flusher = stack.enter_context(_Flusher(writers, journal))
        stopping = threading.Event()

        def compute(shard: str, name: str, piece: Piece) -> tuple[str, str]:
            writer = writers[shard]
            for start, values in piece.blocks():
                if stopping.is_set():
                    raise _Stopped
                writer.write(name, start, values)
            return shard, name

        workers = threads or default_threads()
        stack.enter_context(one_thread_each())
        stack.enter_context(kept_memory())
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="merge"))
        running: set[Future[tuple[str, str]]] = set()
        tasks = _tasks(layout, journal.done)
        try:
            while True:
                while len(running) < 2 * workers and (task := next(tasks, None)) is not None:
                    running.add(pool.submit(compute, *task))
                if not running:
                    break
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    shard, name = future.result()
                    flusher.put(shard, name, layout[shard][name].info.nbytes)
                    if on_tensor is not None:
                        on_tensor(name)
        except BaseException:
            stopping.set()
            for future in running:
                future.cancel()
            raise


class _Stopped(Exception):
    """Another thread failed, or the user interrupted."""


def _tasks(layout: Layout, done: set[str]) -> Iterator[tuple[str, str, Piece]]:
    for shard, part in layout.items():
        for name, piece in sorted(part.items(), key=lambda item: -item[1].info.numel):
            if name not in done:
                yield shard, name, piece


class _Flusher:
    """Forces finished tensors to disk in the background, then journals them. Failures are raised on `put` and exit."""

    def __init__(self, writers: Mapping[str, SafetensorsWriter], journal: Journal) -> None:
        self._writers = writers
        self._journal = journal
        self._queue: queue.Queue[tuple[str, str, int] | None] = queue.Queue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="flush", daemon=True)

    def put(self, shard: str, name: str, size: int) -> None:
        """A finished tensor of ``size`` bytes."""
        if self._error is not None:
            raise self._error
        self._queue.put((shard, name, size))

    def __enter__(self) -> "_Flusher":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        waiting: dict[str, str] = {}
        size = 0
        try:
            while True:
                item = self._queue.get()
                if item is not None:
                    waiting[item[1]] = item[0]
                    size += item[2]
                if waiting and (item is None or size >= FLUSHED):
                    for shard in dict.fromkeys(waiting.values()):
                        self._writers[shard].flush()
                    self._journal.add(waiting)
                    waiting, size = {}, 0
                if item is None:
                    return
        except BaseException as error:
            self._error = error
