"""Scoring a merged model by a shell command: the number that it prints."""

import json
import math
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, printable

Score = Callable[[Path], float]  # of a merged model's directory
KEYS = ("wer", "score", "loss", "value")  # of a JSON object: the first that it has is the score
# What stands by itself: neither "12s", nor a part of "1.2.3" or of a name.
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf(?:inity)?)(?!\w|\.\d)", re.IGNORECASE
)

_PARTED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})*,$")  # the thousands of 1,234.5, or a list
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def command_score(command: str) -> Score:
    """A shell command as a score: ``{model}`` is the merged directory, the last number it prints is the score.

    Where it ends with a JSON object, that must say the score as ``wer``, ``score``, ``loss`` or ``value``. The score
    raises `UserError` when the command fails, or prints no number or none that is finite.
    """
    if "{model}" not in command:
        raise UserError("--score: write {model} where the merged model's directory goes")
    return _Command(command)


@dataclass(frozen=True)
class _Command:
    command: str

    def __call__(self, model: Path) -> float:
        command = self.command.replace("{model}", shlex.quote(str(model)))
        done = subprocess.run(command, shell=True, capture_output=True, check=False)
        if done.returncode:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise UserError(f"the scoring command ended with status {done.returncode}: {printable(last)}")
        return _number_in(done.stdout.decode(errors="replace"))


def name_of(score: Score) -> str:
    """What tells one score from another: the command, or the function's name."""
    if isinstance(score, _Command):
        return score.command
    function = score if hasattr(score, "__qualname__") else type(score)
    return f"{function.__module__}.{function.__qualname__}"


def _number_in(text: str) -> float:
    """The score in what a command printed. Raises `UserError`."""
    text = _COLOURS.sub("", text).replace("\N{MINUS SIGN}", "-")
    last = (text.strip().splitlines() or [""])[-1]
    found = _object_in(text)
    value: Any = None
    if found is not None:
        key = next((key for key in KEYS if key in found), None)
        if key is None:
            raise UserError(f"the scoring command printed a JSON object with none of {', '.join(KEYS)}; name the score")
        value, last = found[key], f"{key}: {json.dumps(found[key])}"
    elif numbers := list(_NUMBER.finditer(text)):
        if _PARTED.search(text[: numbers[-1].start()]) and re.match(r"\d{3}(?!\d)", numbers[-1][0]):
            raise UserError(f"the scoring command printed {last[:80]!r}; have it print numbers without commas in them")
        value = float(numbers[-1][0])
    printed = f"the scoring command printed {last[:80]!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{printed}, which is no number; have it print the score last")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise UserError(f"{printed}, which compares with no other score; see why, or have it print a finite number")
    return value


def _object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text ends with; None where it ends with anything else."""
    for start in re.finditer(r"^[ \t]*\{", text, re.MULTILINE):
        try:
            return dict(json.loads(text[start.start() :]))
        except (ValueError, RecursionError):
            continue
    return None
