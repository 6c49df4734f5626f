"""Who does the work: this process, worker processes, or actors on a Ray cluster."""

from collections.abc import Sequence

from syn2real.speech import workforce
from syn2real.speech.synthesis.backends import Backend, Here, Place
from syn2real.speech.synthesis.processes import Processes, worker_count
from syn2real.speech.synthesis.rendition import Rendition


class Workforce(workforce.Workforce):
    """See `workforce.Workforce`; by default one a core, of this machine or of the cluster, each with engines of its
    own."""

    def gather(self, place: Place, waiting: Sequence[Rendition]) -> Backend:
        """The workers for what is waiting to be spoken. Raises `UserError` when they cannot be had."""
        if self.backend == "ray":
            from syn2real.speech.synthesis.ray_backend import Actors

            return Actors(place, self.workers, self.ray_address, self.ray_gpus)
        count = worker_count(self.workers, waiting)
        # Where several were asked for, the last sentence too has a process of its own: it may be one that kills it.
        return Here(place) if count == 1 and self.workers in (None, 1) else Processes(place, count)
