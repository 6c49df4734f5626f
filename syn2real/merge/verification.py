"""Confirming a merge: the inputs are what they were, and computing it anew gives the same bytes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from syn2real.errors import UserError
from syn2real.hashing import forget_sha256
from syn2real.merge import references
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.output import RECORD
from syn2real.merge.plan import Plan, plan_recipe
from syn2real.merge.recipe import parse_recipe
from syn2real.merge.threads import one_thread_each


@dataclass(frozen=True)
class Verdict:
    """What `check` found. ``differing`` names tensors whose bytes are not what the recipe gives."""

    tensors: int
    changed_inputs: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def confirmed(self) -> bool:
        """Whether inputs and weights are as recorded."""
        return not self.changed_inputs and not self.differing


def check(directory: Path | str, *, on_tensor: Callable[[str], None] | None = None) -> Verdict:
    """Recompute a merge from its ``merge.json`` and compare every byte of every tensor.

    Inputs are looked for where they were, relative to ``directory``. Raises `UserError` when the record or an input is
    missing.
    """
    directory = Path(directory)
    written = _record(directory)
    recipe = parse_recipe(**written["recipe"])
    places = {path: references.beside(path, directory) for path in (*recipe.paths, *recipe.folders)}
    plan = plan_recipe(recipe.with_paths(places))
    for source in plan.inputs:
        for part in references.parts(source.path):
            for file in part.iterdir() if part.is_dir() else [part]:
                forget_sha256(file)  # what is confirmed is read
    expected = {entry["path"]: entry["sha256"] for entry in written["inputs"]}
    changed = [s.name for s in plan.inputs if expected.get(references.relative(s.path, directory)) != s.sha256]
    return Verdict(len(plan.pieces), tuple(changed), tuple(differing(plan, directory, on_tensor=on_tensor)))


def differing(plan: Plan, directory: Path, *, on_tensor: Callable[[str], None] | None = None) -> list[str]:
    """Names of the tensors in ``directory`` that are not, bit by bit, what ``plan`` gives."""
    for problem in plan.problems:
        raise problem
    stored = Checkpoint.open(directory)
    found = [name for name in stored if name not in plan.pieces]
    with one_thread_each():
        plan.prepare()
        for name, piece in plan.pieces.items():
            if name not in stored or stored[name] != piece.info or not _same(stored, name, piece):
                found.append(name)
            if on_tensor is not None:
                on_tensor(name)
    return found


def _same(stored: Checkpoint, name: str, piece: Any) -> bool:
    for start, values in piece.blocks():
        there = stored.read_range(name, start, start + values.numel())
        if not torch.equal(there.contiguous().view(torch.uint8), values.contiguous().view(torch.uint8)):
            return False
    return True


def _record(directory: Path) -> dict[str, Any]:
    file = directory / RECORD
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; give a directory that syn2real merged") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(written, dict) or written.get("format") != "syn2real.merge" or written.get("version") != 2:
        raise UserError(f"{file}: not the record of a merge, or of another version of syn2real")
    recipe, inputs = written.get("recipe"), written.get("inputs")
    whole = isinstance(inputs, list) and all(
        isinstance(one, dict) and {"path", "sha256"} <= one.keys() for one in inputs
    )
    if not (isinstance(recipe, dict) and whole):
        raise UserError(
            f"{file}: its recipe or its inputs are missing or damaged; without them nothing can be confirmed"
        )
    return written
