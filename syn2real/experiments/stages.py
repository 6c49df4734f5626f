"""Stages: directories named by a hash of what made them. The sealed are reused, the killed taken up again."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.hashing import sha256_json
from syn2real.merge.allocation import give_back
from syn2real.progress import say
from syn2real.sealing import partial_path, sealed_directory, write_text

RECORD = "stage.json"


@dataclass(frozen=True)
class Stage:
    """A finished stage: its directory and the key that names it, by which later stages are keyed in turn."""

    name: str
    key: str
    directory: Path


@dataclass(frozen=True)
class Planned:
    """A stage that a dry run came by, made already or not."""

    name: str
    title: str
    amount: float  # clips to speak, to hear, or to train on (each as often as it is seen)
    seconds: float  # of one CPU core, roughly
    done: bool


class Workspace:
    """A directory of stages.

    A stage's key is a hash of its name, its code version, its settings and the keys of its inputs, so that a change
    anywhere remakes exactly what depends on it. With ``dry`` nothing is made and every stage asked for is noted in
    ``planned``, by key.
    """

    def __init__(self, root: Path, *, dry: bool = False) -> None:
        self.root = root
        self.dry = dry
        self.planned: dict[str, Planned] = {}

    def stage(
        self,
        name: str,
        make: Callable[[Path], None],
        *,
        version: int,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        title: str = "",
        amount: float = 0.0,
        seconds: float = 0.0,
    ) -> Stage:
        """The stage of this key, made now unless it is there; ``title``, ``amount`` and ``seconds`` (of one CPU core,
        roughly) are for a dry run's list.

        ``make`` fills the directory it is given. After a kill it is given the same directory again, with what it
        holds, and must end in the same bytes. ``version`` is raised when the code's outcome changes.
        """
        identity = {"stage": name, "version": version, "settings": dict(settings), "inputs": dict(inputs)}
        key = sha256_json(identity)
        directory = self.root / f"{name}-{key[:12]}"
        if self.dry:
            self.planned.setdefault(key, Planned(name, title, amount, seconds, directory.is_dir()))
        if self.dry or directory.is_dir():
            return Stage(name, key, directory)
        if partial_path(directory).exists():
            say(f"{name}: going on where it stopped")
        with sealed_directory(directory, resume=True) as partial:
            make(partial)
            write_text(partial / RECORD, json.dumps(identity | {"key": key}, indent=2, sort_keys=True) + "\n")
        give_back()  # or a study of many trainings would hold more than any of them
        return Stage(name, key, directory)

    def plan(self) -> dict[str, Any]:
        """What a dry run came by, with a rough estimate in seconds of this machine's cores for what is left."""
        cores = os.cpu_count() or 1
        stages = [asdict(planned) for planned in self.planned.values()]
        left = [row for row in stages if not row["done"]]
        seconds = round(sum(row["seconds"] for row in left) / cores)
        return {"stages": stages, "done": len(stages) - len(left), "seconds": seconds, "cores": cores}

    def forget_unfinished(self) -> None:
        """Remove what killed runs left and no later run took up."""
        for path in self.root.glob(".*.partial"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second process out of this workspace. Raises `UserError` when one is in it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(f"{self.root}: another run is at work here; wait for it or choose another") from error
            yield
