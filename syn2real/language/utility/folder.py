"""An evaluation on the disk: each task's answers with their marks, and the record of what they come to."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.language.chat import ChatModel
from syn2real.language.utility.asking import ask_all
from syn2real.language.utility.evaluation import measures
from syn2real.language.utility.metric import Reply, Score
from syn2real.language.utility.task import Task
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.sealing import keep_only, read_json, write_json

RECORD = "utility.json"
HARNESS = "harness.json"  # while an evaluation is unfinished: what the harness found
_ANSWERS, _KEPT = "{}.jsonl", "{}.replies.jsonl"


def evaluate(
    model: ChatModel | None,
    tasks: Sequence[Task],
    folder: Path,
    made: Mapping[str, Any],
    others: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask a model all tasks, mark its answers, and write and return the record.

    ``made`` is what the record says besides, ``others`` what it says of tasks that were marked by other means. Answers
    are kept as they come, and the same call goes on from there after a kill. Raises `UserError` as the model and the
    metrics do.
    """
    found: dict[str, Any] = dict(others or {})
    for task in tasks:
        if task.name in found:
            raise UserError(f"two tasks are called {task.name!r}; give the file another name")
        assert model is not None
        kept = folder / _KEPT.format(task.name)
        title = f"asking {task.name}"
        replies = ask_all(model, task.questions, task.settings, task.metric.samples, kept, title=title)
        scores = task.metric.scores(replies, model)
        write_scores(folder, task.name, (_row(*pair) for pair in zip(replies, scores, strict=True)))
        shortened = sum(reply.shortened for reply in replies)
        found[task.name] = task.record() | {"shortened": shortened, "measures": measures(scores, task.metric.unit)}
    record = {**made, "tasks": found}
    write_record(folder, record)
    keep_only(folder, (RECORD, *(_ANSWERS.format(name) for name in found)))
    return record


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of an evaluation."""
    write_json(folder / RECORD, record)


def write_scores(folder: Path, task: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write a task's answers and scores; a row has ``id``, ``values`` and ``weight`` at least."""
    write_jsonl(folder / _ANSWERS.format(task), rows)


def record_in(folder: Path) -> dict[str, Any]:
    """The record of an evaluation. Raises `UserError` where there is none."""
    advice = "give a folder that `syn2real utility evaluate` wrote"
    record = read_json(folder, RECORD, advice)
    if not isinstance(record.get("tasks"), dict):
        raise UserError(f"{folder / RECORD}: no record of an evaluation; {advice}")
    return record


def scores_in(folder: Path) -> dict[str, dict[str, Score]]:
    """The scores of each task of an evaluation, by the question's id."""
    found: dict[str, dict[str, Score]] = {}
    for task in record_in(folder)["tasks"]:
        file = folder / _ANSWERS.format(task)
        if not file.is_file():  # marked as a whole
            continue
        found[task] = {}
        for line, row in read_jsonl(file):
            try:
                found[task][row["id"]] = Score(row["values"], row["weight"])
            except KeyError as error:
                raise UserError(at(file, line, f"no {error}: evaluate the model anew")) from error
    return found


def _row(reply: Reply, score: Score) -> dict[str, Any]:
    return {
        "id": reply.question.id,
        "prompt": reply.question.prompt,
        "references": list(reply.question.references),
        "replies": list(reply.texts),
        "values": dict(score.values),
        "weight": score.weight,
        **({"note": score.note} if score.note else {}),
    }
