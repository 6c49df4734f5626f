"""How many work at once, and where."""

from dataclasses import dataclass

from syn2real.errors import UserError, did_you_mean

BACKENDS = ("processes", "ray")


@dataclass(frozen=True)
class Workforce:
    """``workers`` at once, processes of this machine or actors of a Ray cluster; None leaves their number open."""

    workers: int | None = None
    backend: str = "processes"
    ray_address: str | None = None  # of a running cluster; without it Ray starts one here
    ray_gpus: float = 0.0  # of each worker

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers must be 1 or more, not {self.workers}")
        if self.backend not in BACKENDS:
            raise UserError(f"unknown backend {self.backend!r}{did_you_mean(self.backend, BACKENDS)}")
        if self.backend != "ray" and (self.ray_address or self.ray_gpus):
            raise UserError("an address and GPUs are for the ray backend; add --backend ray")
        if self.ray_gpus < 0:
            raise UserError(f"GPUs of a worker must be 0 or more, not {self.ray_gpus:g}")
