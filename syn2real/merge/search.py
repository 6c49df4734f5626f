"""Searching a recipe's numbers for the merge that scores best, by grid, CMA-ES or TPE; resumable."""

import json
import math
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.merge.method import METHODS
from syn2real.merge.output import tokenizer_hashes, write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import MergeRecipe, parse_recipe
from syn2real.sealing import require_absent, write_text

Score = Callable[[Path], float]  # of a merged model's directory
TRIALS, BEST, TABLE = "trials.log", "model", "trials.json"
KEYS = ("wer", "score", "loss", "value")  # of a JSON object: the first that it has is the score
# What stands by itself: neither "12s", nor a part of "1.2.3" or of a name.
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf(?:inity)?)(?!\w|\.\d)", re.IGNORECASE
)


@dataclass(frozen=True)
class Span:
    """A number to search: a dotted key of the recipe, and what it may be."""

    key: str
    low: float
    high: float
    points: int = 5  # of a grid

    @classmethod
    def parse(cls, text: str) -> "Span":
        """``parameters.scale=0:1.5`` or, with the number of points of a grid, ``parameters.scale=0:1.5:7``."""
        key, equals, value = text.partition("=")
        parts = value.split(":")
        try:
            numbers = [float(part) for part in parts]
            if not equals or len(parts) not in (2, 3) or not all(map(math.isfinite, numbers)):
                raise ValueError
            points = int(parts[2]) if len(parts) == 3 else 5
        except ValueError as error:
            raise UserError(f"--range {text}: write KEY=LOW:HIGH, for instance parameters.scale=0:1.5") from error
        if not numbers[0] < numbers[1] or points < 2:
            raise UserError(f"--range {text}: LOW must be below HIGH, and a grid has 2 points at least")
        return cls(key.strip(), numbers[0], numbers[1], points)

    @property
    def grid(self) -> list[float]:
        """Evenly spaced values from low to high."""
        return [self.low + (self.high - self.low) * i / (self.points - 1) for i in range(self.points)]


@dataclass(frozen=True)
class Trial:
    """One merge that was scored; ``score`` is None when scoring failed."""

    number: int
    values: dict[str, float]
    score: float | None
    problem: str = ""


def search(
    recipe: MergeRecipe,
    spans: list[Span],
    score: Score,
    output: Path,
    *,
    sampler: Literal["grid", "cmaes", "tpe"] = "tpe",
    trials: int = 20,
    maximize: bool = False,
    seed: int = 0,
    on_trial: Callable[[Trial, Trial | None], None] | None = None,
) -> list[Trial]:
    """Merge and score again and again; the best model ends in ``output/model``, the table in ``output/trials.json``.

    A search that was stopped is taken up by the same call: finished trials are not repeated. ``output`` may not hold
    anything else, nor a search with another recipe, other models, another score or direction; of a score that is a
    function, its name is compared. A grid tries every combination, whatever ``trials``. ``on_trial`` is called with
    each new trial and the best so far. Raises `UserError` for keys that are not in the recipe or given twice, and when
    no trial could be scored.
    """
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage
    except ModuleNotFoundError as error:
        raise NotInstalled("Optuna", "search") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not spans:
        raise UserError("search: give at least one --range, for instance parameters.scale=0:1.5")
    first = with_values(recipe, {span.key: span.low for span in spans})
    _require_distinct(recipe, [span.key for span in spans])
    plan = plan_recipe(first)
    if not (output / "search.json").is_file():
        require_absent(output)
    output.mkdir(parents=True, exist_ok=True)
    identity = {
        "recipe": recipe.model_dump(mode="json"),
        "models": [source.sha256 for source in plan.inputs],
        "tokenizers": [] if recipe.vocabulary == "same" else [tokenizer_hashes(source) for source in plan.inputs],
        "spans": [asdict(span) for span in spans],
        "sampler": sampler,
        "score": _named(score),
        "maximize": maximize,
    }
    _require_same_search(output, identity)
    study = optuna.create_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(str(output / TRIALS))),
        direction="maximize" if maximize else "minimize",
        load_if_exists=True,
    )
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)
    done = len(study.get_trials(deepcopy=False, states=ended))
    total = math.prod(span.points for span in spans) if sampler == "grid" else trials
    seed += done  # a search that goes on must not draw what it drew before
    if sampler == "grid":
        study.sampler = optuna.samplers.GridSampler({span.key: span.grid for span in spans}, seed=seed)
    elif sampler == "cmaes":
        study.sampler = optuna.samplers.CmaEsSampler(seed=seed)
    else:
        study.sampler = optuna.samplers.TPESampler(seed=seed)
    merged = output / ".trial"

    def objective(trial: Any) -> float:
        values = {span.key: trial.suggest_float(span.key, span.low, span.high) for span in spans}
        try:
            write(plan_recipe(with_values(recipe, values)), merged, overwrite=True)
            result = score(merged)
            if not math.isfinite(result):
                raise UserError(f"scored {result}, which is not a finite number")
        except UserError as error:
            trial.set_user_attr("problem", str(error))
            raise
        return result

    def report(study: Any, _: Any) -> None:
        if on_trial is not None:
            found = _trials(study)
            on_trial(found[-1], _best(found, maximize))

    if done < total:
        study.optimize(objective, n_trials=total - done, callbacks=[report], catch=(UserError,))
    found = _trials(study)
    best = _best(found, maximize)
    if best is None:
        raise UserError(
            f"search: none of {len(found)} trials could be scored: {found[-1].problem or 'no reason given'}"
        )
    write_text(output / TABLE, json.dumps([asdict(trial) for trial in found], indent=2) + "\n")
    write(plan_recipe(with_values(recipe, best.values)), output / BEST, overwrite=True)
    shutil.rmtree(merged, ignore_errors=True)
    return found


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
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"the scoring command ended with status {done.returncode}: {last}")
        return _number_in(done.stdout)


def with_values(recipe: MergeRecipe, values: Mapping[str, float]) -> MergeRecipe:
    """The recipe with numbers set at dotted keys, such as ``parameters.scale`` or ``models.0.weight``.

    A parameter of the method need not be written in the recipe. Raises `UserError` for any other key that is not.
    """
    content = recipe.model_dump(mode="json")
    known = METHODS.get(recipe.method).parameters if recipe.method is not None else ()
    for key, value in values.items():
        try:
            *above, (place, name) = _steps(content, key)
            own = known if above and above[-1][1] == "parameters" else ()
            if isinstance(place, dict) and name not in {*place, *own}:
                raise UserError(f"--range {key}: the recipe has no such key{did_you_mean(name, {*place, *own})}")
            place[name] = value
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise UserError(f"--range {key}: the recipe has no such key") from error
    return parse_recipe(**content)


def _steps(content: Any, key: str) -> list[tuple[Any, Any]]:
    """The way along a dotted key: each mapping or list with the entry that is taken, under the name it has once a
    recipe is read: ``scale`` for ``lambda``, and under ``parameters`` what is written beside a model."""
    steps: list[tuple[Any, Any]] = []
    place = content
    for name in key.split("."):
        if steps:
            place = place[steps[-1][1]]
        if isinstance(place, list):
            steps.append((place, int(name)))
            continue
        if isinstance(place, dict) and name not in place and {"model", "parameters"} <= place.keys():
            steps.append((place, "parameters"))
            place = place["parameters"]
        steps.append((place, "scale" if name == "lambda" and name not in place else name))
    return steps


def _require_distinct(recipe: MergeRecipe, keys: Sequence[str]) -> None:
    """Raise `UserError` when two keys of the recipe are one place in it, perhaps under two names."""
    content, known = recipe.model_dump(mode="json"), dict[str, str]()
    for key in keys:
        place = ".".join(str(name) for _, name in _steps(content, key))
        if place in known:
            raise UserError(f"--range {key}: is given already, as {known[place]}; give it one range")
        known[place] = key


def _named(score: Score) -> str:
    """What tells one score from another: the command, or the function's name."""
    if isinstance(score, _Command):
        return score.command
    function = score if hasattr(score, "__qualname__") else type(score)
    return f"{function.__module__}.{function.__qualname__}"


def _require_same_search(output: Path, identity: dict[str, Any]) -> None:
    """Raise `UserError` when ``output`` holds another search."""
    file = output / "search.json"
    text = json.dumps(identity, indent=2, sort_keys=True) + "\n"
    if file.is_file() and (stored := file.read_text(encoding="utf-8")) != text:
        raise UserError(f"{output}: holds another search{_differing(stored, text)}; choose another --output")
    write_text(file, text)


def _differing(stored: str, text: str) -> str:
    """`` (with another score)``, of two searches' records."""
    try:
        before, now = json.loads(stored), json.loads(text)
        return f" (with another {', '.join(key for key in now if now[key] != before.get(key))})"
    except (ValueError, AttributeError):  # not one of ours
        return ""


def _trials(study: Any) -> list[Trial]:
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished():
            problem = trial.user_attrs.get("problem", "")
            found.append(Trial(trial.number, dict(trial.params), trial.value, problem))
    return found


def _best(trials: list[Trial], maximize: bool) -> Trial | None:
    scored = [trial for trial in trials if trial.score is not None]
    sign = -1 if maximize else 1
    return min(scored, key=lambda trial: (sign * (trial.score or 0.0), trial.number), default=None)


def _number_in(text: str) -> float:
    """The score in what a command printed. Raises `UserError`."""
    last = (text.strip().splitlines() or [""])[-1]
    found = _object_in(text)
    value: Any = None
    if found is not None:
        key = next((key for key in KEYS if key in found), None)
        if key is None:
            raise UserError(f"the scoring command printed a JSON object with none of {', '.join(KEYS)}; name the score")
        value, last = found[key], f"{key}: {json.dumps(found[key])}"
    elif numbers := _NUMBER.findall(text):
        value = float(numbers[-1])
    printed = f"the scoring command printed {last[:80]!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{printed}, which is no number; have it print the score last")
    if not math.isfinite(value):
        raise UserError(f"{printed}, which compares with no other score; see why, or have it print a finite number")
    return float(value)


def _object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text ends with; None where it ends with anything else."""
    for start in re.finditer(r"^[ \t]*\{", text, re.MULTILINE):
        try:
            return dict(json.loads(text[start.start() :]))
        except ValueError:
            continue
    return None
