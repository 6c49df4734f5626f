"""An evaluation on the disk: answers, each judge's verdicts, and the record of what they come to."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.safety.answers import Answer, read_answers
from syn2real.language.safety.evaluation import evaluation
from syn2real.language.safety.judge import Judge, Verdict
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.sealing import write_json

ANSWERS, RECORD = "answers.jsonl", "safety.json"
_VERDICTS = "verdicts-{}.jsonl"


def judged(folder: Path, judges: Sequence[Judge], made: Mapping[str, Any]) -> dict[str, Any]:
    """Have the answers in a folder judged, and write and return the record over all judges, these and earlier ones.

    ``made`` is what the record says of how the answers were made. A judge that is a model goes on where it was killed.
    Raises `UserError` for a folder without answers, and as the judges do.
    """
    answers = answers_in(folder)
    for judge in judges:
        file = folder / _VERDICTS.format(_slug(judge.name))
        kept = KeptReplies(file.with_suffix(".replies.jsonl"))
        found = judge.verdicts(answers, kept)
        ids = (answer.prompt.id for answer in answers)
        rows = ({"judge": judge.name, "id": one, **asdict(verdict)} for one, verdict in zip(ids, found, strict=True))
        write_jsonl(file, rows)
        kept.path.unlink(missing_ok=True)
    record = {**made, **evaluation(answers, verdicts_in(folder))}
    write_json(folder / RECORD, record)
    return record


def answers_in(folder: Path) -> list[Answer]:
    """The answers of an evaluation."""
    if not (folder / ANSWERS).is_file():
        raise UserError(f"{folder}: holds no {ANSWERS}; give a folder that `syn2real safety evaluate` wrote")
    return read_answers(folder / ANSWERS)


def verdicts_in(folder: Path) -> dict[str, list[Verdict]]:
    """What each judge said of the answers of an evaluation, by the judge's name. Raises `UserError` for verdicts on
    other answers than are there."""
    found = {}
    asked = [answer.prompt.id for answer in answers_in(folder)]
    for file in sorted(folder.glob(_VERDICTS.format("*"))):
        if file.suffixes[-2:] == [".replies", ".jsonl"]:
            continue
        name, ids, verdicts = file.stem, [], []
        for line, row in read_jsonl(file):
            try:
                name = row["judge"]
                ids.append(row["id"])
                verdicts.append(Verdict(row["harmful"], row["refused"], row["said"]))
            except KeyError as error:
                raise UserError(at(file, line, f"no {error}: judge the answers anew")) from error
        if ids != asked:
            raise UserError(
                f"{file}: judges other answers than {ANSWERS} has; remove it, or judge anew by the same judge"
            )
        found[name] = verdicts
    return found


def record_in(folder: Path) -> dict[str, Any]:
    """The record of an evaluation. Raises `UserError` where there is none."""
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: holds no {RECORD}; give a folder that `syn2real safety evaluate` wrote") from error


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
