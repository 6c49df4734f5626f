"""Who does the work: this process, worker processes, or actors on a Ray cluster."""

from collections.abc import Sequence
from dataclasses import dataclass

from syn2real.errors import UserError, did_you_mean
from syn2real.speech.synthesis.backends import Backend, Here, Place
from syn2real.speech.synthesis.processes import Processes, worker_count
from syn2real.speech.synthesis.rendition import Rendition

BACKENDS = ("processes", "ray")


@dataclass(frozen=True)
class Workforce:
    """``workers`` at once, each with engines of its own; by default one a core, of this machine or of the cluster."""

    workers: int | None = None
    backend: str = "processes"
    ray_address: str | None = None  # of a running cluster; without it Ray starts one here
    ray_gpus: float = 0.0  # of each worker, for engines that use them

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers must be 1 or more, not {self.workers}")
        if self.backend not in BACKENDS:
            raise UserError(f"unknown backend {self.backend!r}{did_you_mean(self.backend, BACKENDS)}")
        if self.backend != "ray" and (self.ray_address or self.ray_gpus):
            raise UserError("an address and GPUs are for the ray backend; add --backend ray")
        if self.ray_gpus < 0:
            raise UserError(f"GPUs of a worker must be 0 or more, not {self.ray_gpus:g}")

    def gather(self, place: Place, waiting: Sequence[Rendition]) -> Backend:
        """The workers for what is waiting to be spoken. Raises `UserError` when they cannot be had."""
        if self.backend == "ray":
            from syn2real.speech.synthesis.ray_backend import Actors

            return Actors(place, self.workers, self.ray_address, self.ray_gpus)
        count = worker_count(self.workers, waiting)
        # Where several were asked for, the last sentence too has a process of its own: it may be one that kills it.
        return Here(place) if count == 1 and self.workers in (None, 1) else Processes(place, count)
