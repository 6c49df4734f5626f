"""Who listens: this process, worker processes, or actors on a Ray cluster, each with a model of its own."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from syn2real.errors import NotInstalled, UserError, one_line
from syn2real.speech.listening import Listener
from syn2real.speech.spawning import end_with_parent, spawned
from syn2real.speech.transcription.outcome import Outcome, hear
from syn2real.speech.transcription.plan import Piece
from syn2real.speech.transcription.settings import TranscriptionSettings
from syn2real.speech.workforce import Workforce

Batch = tuple[Piece, ...]

DIED = "the process that listened to it died"
RESTARTS = 3  # of an actor that is lost in the midst of a batch, before the batch is given up


@dataclass(frozen=True)
class Ear:
    """A model with its settings, loaded when the first batch is heard."""

    model: Path
    language: str | None
    settings: TranscriptionSettings
    threads: int | None = None  # of torch; None leaves them as they are

    @cached_property
    def listener(self) -> Listener:
        """The model, loaded."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        return self.settings.load(self.model, self.language)

    def hear(self, batch: Batch) -> list[Outcome]:
        """What came of each piece."""
        return hear(self.listener, batch, self.settings)


def hear_all(ear: Ear, batches: Sequence[Batch], workforce: Workforce) -> Iterator[tuple[Batch, list[Outcome]]]:
    """What came of each batch, as they are done. One worker is this process; several read recordings and model from
    the same paths, so that the nodes of a cluster need a disk in common.

    Raises `UserError` as loading the model does, and when workers cannot be had.
    """
    if workforce.backend == "ray":
        yield from _by_ray(ear, batches, workforce)
    elif workforce.workers in (None, 1) or len(batches) < 2:
        for batch in batches:
            yield batch, ear.hear(batch)
    else:
        yield from _by_processes(ear, batches, min(workforce.workers or 1, len(batches)))


def _threads(workers: int) -> int | None:
    """Cores for each worker, where the user has not said."""
    if "OMP_NUM_THREADS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


def _by_processes(ear: Ear, batches: Sequence[Batch], workers: int) -> Iterator[tuple[Batch, list[Outcome]]]:
    ear = replace(ear, threads=_threads(workers))
    pool, left = spawned(workers, _begin, ear), deque(batches)
    running: dict[Future[list[Outcome]], Batch] = {}
    try:
        while left or running:
            try:
                while left and len(running) < 2 * workers:
                    running[pool.submit(_hear, left[0])] = left[0]
                    left.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcomes = future.result()
                    yield running.pop(future), outcomes
            except BrokenProcessPool:
                # One of these is what a process died of; each is heard alone to find out which.
                lost = list(running.values())
                running.clear()
                pool = _again(pool, 1, ear)
                for batch in lost:
                    try:
                        outcomes = pool.submit(_hear, batch).result()
                    except BrokenProcessPool:
                        outcomes = [_lost(piece) for piece in batch]
                        pool = _again(pool, 1, ear)
                    yield batch, outcomes
                if left:
                    pool = _again(pool, workers, ear)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _again(broken: ProcessPoolExecutor, workers: int, ear: Ear) -> ProcessPoolExecutor:
    broken.shutdown(wait=True, cancel_futures=True)
    return spawned(workers, _begin, ear)


class _Worker:
    """What a worker process keeps from one batch to the next."""

    ear: Ear


def _begin(ear: Ear) -> None:
    _Worker.ear = ear
    end_with_parent()


def _hear(batch: Batch) -> list[Outcome]:
    return _Worker.ear.hear(batch)


def _lost(piece: Piece) -> Outcome:
    return Outcome(problem=f"{piece.utterance.audio_filepath}: {DIED}; hear it again in smaller batches")


class _Actor:
    """An actor: a model and what it hears."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear

    def hear(self, batch: Batch) -> list[Outcome]:
        """See `Ear.hear`."""
        return self._ear.hear(batch)


def _by_ray(ear: Ear, batches: Sequence[Batch], workforce: Workforce) -> Iterator[tuple[Batch, list[Outcome]]]:
    try:
        import ray
    except ImportError as error:
        raise NotInstalled("Ray", "ray") from error
    from syn2real.speech.ray_cluster import connect

    begun = not ray.is_initialized()
    if begun:
        connect(ray, workforce.ray_address, workforce.workers)
    count = workforce.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    options: Any = {"num_cpus": 1, "max_restarts": RESTARTS, "max_task_retries": RESTARTS}
    made: Any = ray.remote(_Actor).options(num_gpus=workforce.ray_gpus, **options)
    idle = [made.remote(ear) for _ in range(min(count, max(1, len(batches))))]
    actors, left = list(idle), deque(batches)
    running: dict[Any, tuple[Any, Batch]] = {}
    try:
        while left or running:
            while left and idle:
                actor, batch = idle.pop(), left.popleft()
                running[actor.hear.remote(batch)] = actor, batch
            (answer,), _ = ray.wait(list(running), num_returns=1)
            actor, batch = running.pop(answer)
            try:
                outcomes = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UserError | OSError):
                    raise UserError(one_line(error.cause, 500)) from error
                raise
            except ray.exceptions.RayError:
                outcomes = [_lost(piece) for piece in batch]
                actor = made.remote(ear)
                actors.append(actor)
            idle.append(actor)
            yield batch, outcomes
    finally:
        for actor in actors:
            ray.kill(actor)
        if begun:
            ray.shutdown()
