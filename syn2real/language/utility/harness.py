"""Tasks of lm-evaluation-harness, run by its own code on a model of ours; its marks become ours, each question's."""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from syn2real.errors import NotInstalled, UserError, one_line
from syn2real.hashing import sha256_json
from syn2real.language.chat.choice import is_server
from syn2real.language.chat.weights import model_identity, resolve_chat_model
from syn2real.language.utility.evaluation import measures
from syn2real.language.utility.folder import HARNESS, write_scores
from syn2real.language.utility.metric import Score
from syn2real.progress import say
from syn2real.sealing import write_json

_SURE = 1.96  # standard errors of a 95 % interval, where the harness gives no marks by question


def run_harness(
    model: str,
    tasks: Sequence[str],
    folder: Path,
    *,
    shots: int | None = None,
    limit: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, Any]:
    """Run tasks on a model given by directory, packaged name or hub id: names that the harness knows, or YAML files of
    its own form. Returns what a record says of each, and writes the marks by question beside.

    A second call with the same goes by what the first found. Programs are never run by the harness, which would run
    them unguarded. Raises `UserError` for a task that there is not, and as the harness does.
    """
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise NotInstalled("lm-eval", "harness") from error
    if is_server(model):
        raise UserError("the harness needs the model itself, not a server's: give a directory or a hub id")
    directory = resolve_chat_model(model)
    settings = {"shots": shots, "limit": limit, "seed": seed, "harness": version("lm-eval")}
    asked = sha256_json([model_identity(directory), [_content(task) for task in tasks], settings])
    kept = folder / HARNESS
    if kept.is_file() and (before := json.loads(kept.read_text(encoding="utf-8")))["asked"] == asked:
        return dict(before["tasks"])
    say(f"lm-evaluation-harness: {', '.join(tasks)}")
    found = _evaluated(directory, tasks, shots, limit, batch_size, seed)
    records: dict[str, Any] = {}
    for task, samples in found["samples"].items():
        for name, rows in _by_filter(task, samples):
            records |= _recorded(name, rows, found, task, folder, settings)
    write_json(kept, {"asked": asked, "tasks": records})
    return records


def _evaluated(
    directory: Path, tasks: Sequence[str], shots: int | None, limit: int | None, batch_size: int, seed: int
) -> dict[str, Any]:
    with _quiet():
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        files = [Path(task) for task in tasks if _is_file(task)]
        try:
            # Its own thousands of tasks take long to list, and are for names alone.
            folders = [str(file.parent) for file in files] or None
            manager = TaskManager(include_path=folders, include_defaults=len(files) < len(tasks))
            model = HFLM(pretrained=str(directory), batch_size=batch_size, **_place())
            result = simple_evaluate(
                model=model,
                tasks=[_name(task) for task in tasks],
                task_manager=manager,
                num_fewshot=shots,
                limit=limit,
                log_samples=True,
                apply_chat_template=model.tokenizer.chat_template is not None,
                random_seed=seed,
                numpy_random_seed=seed,
                torch_random_seed=seed,
                fewshot_random_seed=seed,
                bootstrap_iters=0,  # the intervals are ours
            )
        except Exception as error:  # of the harness, of datasets, of the hub, of the model
            raise UserError(f"lm-evaluation-harness: {', '.join(tasks)}: {one_line(error)}") from error
    return dict(result)


def _recorded(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    found: Mapping[str, Any],
    task: str,
    folder: Path,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """What the record says of a task, whose marks by question are written."""
    metrics = [
        metric for metric in rows[0]["metrics"] if all(isinstance(row[metric], bool | int | float) for row in rows)
    ]
    head = {"questions": len(rows), "samples": 1, "asked": dict(settings)}
    if not metrics:  # marked as a whole
        whole = found["results"][task]
        values = {key.split(",")[0]: value for key, value in whole.items() if isinstance(value, float) and "," in key}
        spread = {key.removesuffix("_stderr"): values.pop(key) for key in list(values) if key.endswith("_stderr")}
        if not values:
            return {}
        shown = {key: _around(value, spread.get(key)) for key, value in values.items()}
        return {name: {"metric": "lm-eval", "headline": next(iter(values)), "unit": "other", **head, "measures": shown}}
    scores = [Score({metric: float(row[metric]) for metric in metrics}) for row in rows]
    write_scores(folder, name, (_row(row, score) for row, score in zip(rows, scores, strict=True)))
    unit = "share" if all(0 <= value <= 1 for score in scores for value in score.values.values()) else "other"
    record = {"metric": "lm-eval", "headline": metrics[0], "unit": unit, **head, "measures": measures(scores, unit)}
    return {name: record}


def _row(sample: Mapping[str, Any], score: Score) -> dict[str, Any]:
    said = sample["filtered_resps"]
    return {
        "id": f"{sample['doc_id']}-{sample['doc_hash'][:12]}",
        "replies": [one if isinstance(one, str) else json.dumps(one, default=str) for one in said],
        "references": [str(sample["target"])],
        "values": dict(score.values),
        "weight": score.weight,
    }


def _by_filter(task: str, samples: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """A task's samples, by the filter that their answers went through; its name where there are several."""
    names = list(dict.fromkeys(sample["filter"] for sample in samples))
    for name in names:
        rows = [sample for sample in samples if sample["filter"] == name]
        yield (task if len(names) == 1 else f"{task}-{name}"), rows


def _around(value: float, spread: float | None) -> dict[str, float | None]:
    if spread is None:
        return {"value": value, "ci_low": None, "ci_high": None}
    return {"value": value, "ci_low": value - _SURE * spread, "ci_high": value + _SURE * spread}


def _place() -> dict[str, str]:
    """As `LocalModel` has it: float32 on a CPU, bfloat16 on a GPU."""
    import torch

    return (
        {"device": "cuda", "dtype": "bfloat16"} if torch.cuda.is_available() else {"device": "cpu", "dtype": "float32"}
    )


def _is_file(task: str) -> bool:
    return task.endswith((".yaml", ".yml"))


def _content(task: str) -> str:
    return Path(task).read_text(encoding="utf-8") if _is_file(task) else task


def _name(task: str) -> str:
    """The name of a task, or of the one in a YAML."""
    if not _is_file(task):
        return task
    # The harness's files name functions with tags of its own; of these only the name is read.
    node = yaml.compose(_content(task), Loader=yaml.SafeLoader)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    name = next((value.value for key, value in pairs if key.value == "task"), None)
    if not isinstance(name, str):
        raise UserError(f"{task}: names no task; lm-evaluation-harness wants `task: NAME`")
    return name


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the harness logs."""
    before = os.environ.get("LMEVAL_LOG_LEVEL")
    os.environ["LMEVAL_LOG_LEVEL"] = "ERROR"
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is None:
            os.environ.pop("LMEVAL_LOG_LEVEL", None)
        else:
            os.environ["LMEVAL_LOG_LEVEL"] = before
