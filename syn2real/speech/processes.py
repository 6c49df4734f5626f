"""The processes of one training, as `torchrun` and `accelerate launch` start them: the first writes, others wait."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syn2real.sealing import partial_path, sealed_directory


def processes() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this is the one that writes and prints."""
    return process() == 0


def wait() -> None:
    """Go on when all have come here."""
    if processes() > 1:
        _joined()
        from torch import distributed

        distributed.barrier()


@contextmanager
def in_turn() -> Iterator[None]:
    """The first process alone, then the others: what one of them makes, the others find, and an error comes once."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


@contextmanager
def sealed_once(final: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """`sealing.sealed_directory` with ``resume``, which the first process makes and seals and the others may read."""
    if is_first():
        with sealed_directory(final, resume=True, overwrite=overwrite) as partial:
            wait()
            yield partial
            wait()
    else:
        wait()
        yield partial_path(final)
        wait()


def leave() -> None:
    """Take leave of the other processes."""
    if processes() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()


def _joined() -> None:
    """Meet the other processes: over NCCL with CUDA, else over gloo."""
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())
