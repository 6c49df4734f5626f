"""An evaluation on the disk: answers, each judge's verdicts, and the record of what they come to."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at, did_you_mean
from syn2real.hashing import sha256_json
from syn2real.language.chat import ChatModel
from syn2real.language.safety.answers import (
    REPLIES,
    Answer,
    AnswerSettings,
    answer_all,
    kept_beside,
    read_answers,
)
from syn2real.language.safety.evaluation import evaluation
from syn2real.language.safety.judge import Judge, Verdict
from syn2real.language.safety.prompts import SafetyPrompt
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.sealing import read_json, write_json

ANSWERS, RECORD = "answers.jsonl", "safety.json"
WAY = ("system", "max_tokens")  # of a record: how the answers were asked for
_VERDICTS = "verdicts-{}.jsonl"


@dataclass(frozen=True)
class Filed:
    """What one judge said of the answers of an evaluation."""

    judge: str  # its name
    identity: str | None  # of the judge; None in files of before it was noted
    verdicts: list[Verdict]


def evaluated(
    folder: Path,
    model: ChatModel,
    prompts: Sequence[SafetyPrompt],
    settings: AnswerSettings,
    judges: Sequence[Judge],
    made: Mapping[str, Any],
) -> dict[str, Any]:
    """Have a model answer and judges judge. A run that was killed may have begun the folder, with another model even or
    other judges: in the end it holds what these come to, and nothing else. Returns and raises as `judged`."""
    for file in _verdict_files(folder):  # made again in no time of what the judges said, which is kept
        file.unlink()
    answer_all(model, prompts, settings, folder / ANSWERS)
    record = judged(folder, judges, made)
    for left in folder.glob(f"*{REPLIES}"):
        left.unlink()
    return record


def judged(folder: Path, judges: Sequence[Judge], made: Mapping[str, Any]) -> dict[str, Any]:
    """Have the answers in a folder judged, and write and return the record over all judges, these and earlier ones.

    ``made`` is what the record says of how the answers were made. A judge that is a model goes on where it was killed;
    what it and the answering model said on the way is kept until all is written. Raises `UserError` for a folder
    without answers, for one that another judge of the same name has judged, and as the judges do.
    """
    answers = answers_in(folder)
    files = [_file_of(judge, folder) for judge in judges]
    _ = list(_filed(folder, answers, but=files))  # which raises before anybody is asked
    for judge, file in zip(judges, files, strict=True):
        found = judge.verdicts(answers, kept_beside(file))
        by = {"judge": judge.name, "identity": judge.identity}
        rows = zip(answers, found, strict=True)
        write_jsonl(file, (by | {"id": a.prompt.id, "of": _mark(a), **asdict(verdict)} for a, verdict in rows))
    record = {**made, **evaluation(answers, verdicts_in(folder))}
    write_json(folder / RECORD, record)
    for file in (folder / ANSWERS, *files):
        kept_beside(file).path.unlink(missing_ok=True)
    return record


def answers_in(folder: Path) -> list[Answer]:
    """The answers of an evaluation. Raises `UserError` where there are none."""
    if not (folder / ANSWERS).is_file():
        raise UserError(f"{folder}: holds no {ANSWERS}; give a folder that `syn2real safety evaluate` wrote")
    found = read_answers(folder / ANSWERS)
    if not found:
        raise UserError(f"{folder / ANSWERS}: holds no answers")
    return found


def verdicts_in(folder: Path) -> dict[str, list[Verdict]]:
    """What each judge said of the answers of an evaluation, by the judge's name. Raises `UserError` for verdicts on
    other answers than are there."""
    return {filed.judge: filed.verdicts for filed in _filed(folder, answers_in(folder))}


def judged_by(judge: str, folders: Mapping[str, Path]) -> dict[str, tuple[list[Answer], list[Verdict]]]:
    """The answers of several evaluations with what one judge, by its name, said of them. Raises `UserError` where it
    judged one of them not, and where two judges go by that name."""
    found = {}
    seen: dict[str, str] = {}
    for name, folder in folders.items():
        answers = answers_in(folder)
        by_name = {filed.judge: filed for filed in _filed(folder, answers)}
        if judge not in by_name:
            raise UserError(f"{folder}: was not judged by {judge!r}{did_you_mean(judge, by_name)}")
        filed = by_name[judge]
        if filed.identity is not None:
            seen.setdefault(filed.identity, name)
        if len(seen) > 1:
            both = " and ".join(seen.values())
            raise UserError(f"{both}: were judged by two judges called {judge!r} (another model or text)")
        found[name] = answers, filed.verdicts
    return found


def _filed(folder: Path, answers: Sequence[Answer], but: Sequence[Path] = ()) -> Iterator[Filed]:
    asked, given = [answer.prompt.id for answer in answers], [_mark(answer) for answer in answers]
    for file in _verdict_files(folder):
        if file in but:
            continue
        by: tuple[str, str | None] = file.stem, None
        ids, marks, verdicts = [], [], []
        for line, row in read_jsonl(file):
            try:
                by = row["judge"], row.get("identity")
                ids.append(row["id"])
                marks.append(row.get("of"))
                verdicts.append(Verdict(row["harmful"], row["refused"], row["said"]))
            except KeyError as error:
                raise UserError(at(file, line, f"no {error}: judge the answers anew")) from error
        # Files of before answers were marked are taken at their ids' word: finished studies are full of them.
        if ids != asked or (any(marks) and marks != given):
            raise UserError(
                f"{file}: judges other answers than {ANSWERS} has; remove it, or judge anew by the same judge"
            )
        yield Filed(*by, verdicts)


def _verdict_files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob(_VERDICTS.format("*"))) if not file.name.endswith(REPLIES)]


def _mark(answer: Answer) -> str:
    """What tells a verdict on this answer from one on another to the same request."""
    return sha256_json([answer.prompt.text, answer.prompt.harmful, answer.response])[:16]


def _file_of(judge: Judge, folder: Path) -> Path:
    """Where a judge's verdicts go. Raises `UserError` where those of another judge lie."""
    file = folder / _VERDICTS.format(_slug(judge.name))
    _, first = next(read_jsonl(file), (0, {})) if file.is_file() else (0, {})
    if first.get("identity") not in (None, judge.identity):
        raise UserError(
            f"{file}: is by another judge called {first.get('judge')!r} (another model or text); move it away to judge "
            "by this one"
        )
    return file


def ways_asked(folders: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """With which system prompt and how many tokens each evaluation was asked, where its record says."""
    known = {name: record_in(folder) for name, folder in folders.items() if (folder / RECORD).is_file()}
    return {name: {key: made[key] for key in WAY if key in made} for name, made in known.items()}


def record_in(folder: Path) -> dict[str, Any]:
    """The record of an evaluation. Raises `UserError` where there is none."""
    return read_json(folder, RECORD, "give a folder that `syn2real safety evaluate` wrote")


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
