"""A task: questions, how they are asked, and how answers are marked; in a file of questions, or one that says more."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from syn2real.documents import Document, parse_values
from syn2real.errors import UserError
from syn2real.hashing import sha256_json
from syn2real.language.subset import subset
from syn2real.language.utility.asking import AskingSettings
from syn2real.language.utility.metric import Metric, metric_named
from syn2real.language.utility.questions import Question, read_questions

WORDS, PROGRAM = 128, 512  # tokens of an answer, where nothing is said of them
VARIED = 0.8  # temperature of several answers, where nothing is said of it
_DRAWN = ("max_tokens", "temperature", "top_p", "seed")  # of how questions are asked, what matters to answers alone


class TaskFile(BaseModel):
    """What a task's YAML says. Paths are relative to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    questions: Path
    metric: str | None = None  # None: exact match, or pass@k where there are tests
    options: Annotated[dict[str, Any], Field(default_factory=dict)]  # of the metric
    system: str | None = None
    wording: str | None = None  # with {prompt}
    examples: Path | None = None  # solved before each question; a file of questions
    shots: Annotated[int, Field(ge=0)] | None = None  # so many of them, the first; None: all
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: float | None = None
    top_p: float = 1.0


@dataclass(frozen=True)
class Task:
    """Questions, and what is done with them."""

    name: str
    questions: tuple[Question, ...]
    metric: Metric
    settings: AskingSettings
    options: Mapping[str, Any] = field(default_factory=dict)  # that the metric was given

    def record(self) -> dict[str, Any]:
        """What an evaluation's record says of it: all that two must have in common to be compared."""
        settings = asdict(self.settings) | {"examples": len(self.settings.examples)}
        if self.settings.examples:
            settings["examples_sha256"] = _sha256(self.settings.examples)
        if not self.metric.samples:  # nothing is drawn
            settings = {name: value for name, value in settings.items() if name not in _DRAWN}
        return {
            "metric": self.metric.name,
            "options": dict(self.options),
            "headline": self.metric.headline,
            "unit": self.metric.unit,
            "questions": len(self.questions),
            "questions_sha256": _sha256(self.questions),
            "samples": self.metric.samples,
            "asked": settings,
        }


def load_task(
    path: Path,
    given: Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    samples: int | None = None,
    allow_code: bool = False,
    unconfined: bool = False,
) -> Task:
    """The task in a JSONL of questions, or in a YAML as `TaskFile` has it; what is ``given``, by the names there,
    outweighs it. ``limit`` takes so many questions, drawn by ``seed``; ``samples``, ``allow_code`` and ``unconfined``
    are for programs, and mean nothing to other tasks.

    Raises `UserError` with file and line, and for questions that the metric cannot mark.
    """
    said = {key: value for key, value in (given or {}).items() if value is not None}
    folder = Path()
    if path.suffix in (".yaml", ".yml"):
        document = Document.load(path)
        options = document.content.get("options") or {}
        if not isinstance(options, dict):
            raise UserError(f'{path}: options: write names and values, for instance {{pattern: "answer is (.*)"}}')
        options = options | said.get("options", {})
        task = Document(path, document.content | said | {"options": options}, document.node).parse(TaskFile)
        folder = path.parent
    else:
        task = parse_values(TaskFile, {"questions": path} | said)
    questions = subset(read_questions(folder / task.questions), limit, seed, lambda question: (question.id,))
    coded = any(question.tests for question in questions)
    # Not a file's to allow: it may have come from anywhere.
    metric = _metric(task, coded, {"allow_code": allow_code, "unconfined": unconfined, "samples": samples})
    metric.require(questions)
    # What was given on the command line is relative to where one is, not to the file.
    examples = _examples(Path() if "examples" in said else folder, task)
    settings = AskingSettings(
        system=task.system,
        wording=task.wording,
        examples=examples,
        max_tokens=task.max_tokens or (PROGRAM if coded else WORDS),
        temperature=(VARIED if metric.samples > 1 else 0.0) if task.temperature is None else task.temperature,
        top_p=task.top_p,
        seed=seed,
    )
    return Task(path.stem, tuple(questions), metric, settings, task.options)


def _sha256(questions: Sequence[Question]) -> str:
    """Of what is asked and what is right, in any order."""
    return sha256_json(sorted(sha256_json(asdict(question)) for question in questions))


def _metric(task: TaskFile, coded: bool, programs: Mapping[str, Any]) -> Metric:
    name = task.metric or ("pass_at_k" if coded else "exact")
    given = {key: value for key, value in programs.items() if value is not None} if name == "pass_at_k" else {}
    return metric_named(name, **task.options | given)


def _examples(folder: Path, task: TaskFile) -> tuple[Question, ...]:
    if task.examples is None:
        if task.shots:
            raise UserError(f"{task.shots} shots, but no examples; name a file of them")
        return ()
    found = read_questions(folder / task.examples)
    if task.shots is not None and task.shots > len(found):
        raise UserError(f"{folder / task.examples}: {len(found)} examples, of {task.shots} wanted")
    return tuple(found[: task.shots])
