"""Actors on a Ray cluster, each with engines of its own. Clips come back to the driver, which alone writes files, so
that the nodes need no disk in common."""

import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

from syn2real.errors import NotInstalled, UserError, one_line
from syn2real.progress import say
from syn2real.speech.ray_cluster import connect
from syn2real.speech.spawning import end_with_parent
from syn2real.speech.synthesis.backends import DIED, Chunks, Place, keep, make, repeat
from syn2real.speech.synthesis.judging import ClipJudge
from syn2real.speech.synthesis.outcome import Outcome
from syn2real.speech.synthesis.preparation import prepare
from syn2real.speech.synthesis.rendition import Rendition

SUSPECT = 2  # actors lost with a rendition after which it is given to one alone
GUILTY = 3  # after which it is what they died of; a node that goes takes one


class Speaker:
    """What an actor is: a process of its own that keeps its engines.

    Not the actor's process, for Ray's threads live in it: what some voices draw comes from the C library's generator,
    which all threads of a process share.
    """

    def __init__(self, judge: ClipJudge | None) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        self._judge = judge
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=end_with_parent)

    def ready(self) -> None:
        """Answers once the actor has its place on a node."""

    def speak(self, renditions: list[Rendition]) -> tuple[list[tuple[Outcome, bytes]], float]:
        """What came of each, with the clips, and the seconds it took."""
        return self._ask(_speak, renditions, self._judge)

    def repeat(self, rendition: Rendition) -> str | None:
        """Speak it and keep nothing; what was wrong."""
        return self._ask(repeat, rendition)

    def _ask(self, *request: Any) -> Any:
        from concurrent.futures.process import BrokenProcessPool

        try:
            return self._process.submit(*request).result()
        except BrokenProcessPool:
            os._exit(1)  # the driver makes another actor, and finds out what this one died of


def _speak(renditions: list[Rendition], judge: ClipJudge | None) -> tuple[list[tuple[Outcome, bytes]], float]:
    prepare(rendition.voice for rendition in renditions)
    start = time.monotonic()
    return [make(rendition, judge) for rendition in renditions], time.monotonic() - start


class Actors:
    """As many actors as the cluster has cores, or as asked for.

    One that is lost, alone or with its node, is made again where there is room; until there is, the others go on, and
    what it had in hand goes to the next that is free.
    """

    def __init__(self, place: Place, workers: int | None, address: str | None, gpus: float) -> None:
        try:
            import ray
        except ImportError as error:
            raise NotInstalled("Ray", "ray") from error
        self._ray = ray
        self._begun = not ray.is_initialized()
        if self._begun:
            connect(ray, address, workers)
        there = ray.cluster_resources()
        if there.get("GPU", 0) < gpus:  # a cluster may grow, so this is no error
            say(f"each worker asks for {gpus:g} GPUs and the Ray cluster has {there.get('GPU', 0):g}: waiting for more")
        self._class: Any = ray.remote(Speaker).options(num_cpus=1, num_gpus=gpus)
        errors = ray.exceptions
        self._lost = (
            errors.RayActorError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
            errors.WorkerCrashedError,
        )
        self._judge = place.judge
        self._journal = place.journal()
        self._failed_starts = 0
        self._count = workers or max(1, int(there.get("CPU", 1)))
        self._waiting: dict[Any, tuple[Any, list[Rendition]]] = {}  # by what an actor owes: itself and what it has
        self._idle: list[Any] = []
        for _ in range(self._count):
            self._hire()

    def speak(self, renditions: Sequence[Rendition]) -> Iterator[tuple[Rendition, Outcome]]:
        """What came of each, as they come back."""
        chunks = Chunks(renditions, self._count)
        again: deque[list[Rendition]] = deque()  # what lost actors had in hand
        losses: Counter[str] = Counter()
        while chunks or again or any(hand for _, hand in self._waiting.values()):
            while self._idle and (again or chunks):
                actor, hand = self._idle.pop(), again.popleft() if again else chunks.take()
                self._waiting[actor.speak.remote(hand)] = actor, hand
            (answer,), _ = self._ray.wait(list(self._waiting), num_returns=1)
            actor, hand = self._waiting.pop(answer)
            try:
                said = self._get(answer)
            except self._lost as error:
                self._replace(actor, error)
                losses.update(rendition.file_name for rendition in hand)
                guilty = [one for one in hand if losses[one.file_name] >= GUILTY]
                suspect = [one for one in hand if SUSPECT <= losses[one.file_name] < GUILTY]
                innocent = [one for one in hand if losses[one.file_name] < SUSPECT]
                again.extend([one] for one in suspect)
                again.extend([innocent] if innocent else [])
                for one in guilty:
                    yield one, Outcome(one.file_name, one.attempt, problem=f"{one.voice.id}: {DIED}")
                continue
            self._idle.append(actor)
            self._failed_starts = 0
            if said is not None:
                made, seconds = said
                chunks.took(seconds)
                for rendition, one in zip(hand, made, strict=True):
                    yield rendition, keep(one, self._journal)

    def repeat(self, rendition: Rendition) -> str | None:
        """Speak it with the next actor that can, and keep nothing; what was wrong."""
        for actor in [*self._idle, *(actor for actor, hand in self._waiting.values() if hand)]:
            try:
                return self._get(actor.repeat.remote(rendition))
            except self._lost:
                continue
        return DIED

    def close(self) -> None:
        """Let the actors go, and Ray too where it was started here."""
        for actor in [*self._idle, *(actor for actor, _ in self._waiting.values())]:
            self._ray.kill(actor)
        if self._begun:
            self._ray.shutdown()
        self._journal.close()

    def _hire(self) -> None:
        actor = self._class.remote(self._judge)
        self._waiting[actor.ready.remote()] = actor, []

    def _replace(self, actor: Any, error: Exception) -> None:
        """Another actor for one that is lost. Raises `UserError` when none stays."""
        self._failed_starts += 1
        if self._failed_starts > 2 * self._count + GUILTY:
            raise UserError(f"no actor stays alive on the Ray cluster: {one_line(error, 300)}") from error
        self._ray.kill(actor)  # it may only be out of reach
        self._hire()

    def _get(self, answer: Any) -> Any:
        """What an actor answered. Raises what it raised, and one of ``_lost`` when it is no more."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError | OSError):
                raise UserError(one_line(error.cause, 500)) from error
            raise
