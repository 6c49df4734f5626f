"""An evaluation on the disk: answers, each judge's verdicts, and the record of what they come to."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at, did_you_mean
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.safety.answers import Answer, read_answers
from syn2real.language.safety.evaluation import evaluation
from syn2real.language.safety.judge import Judge, Verdict
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.sealing import read_json, write_json

ANSWERS, RECORD = "answers.jsonl", "safety.json"
_VERDICTS = "verdicts-{}.jsonl"
_REPLIES = ".replies.jsonl"  # in the place of a file's suffix: what a judge said so far


@dataclass(frozen=True)
class Filed:
    """What one judge said of the answers of an evaluation."""

    judge: str  # its name
    identity: str | None  # of the judge; None in files of before it was noted
    verdicts: list[Verdict]


def judged(folder: Path, judges: Sequence[Judge], made: Mapping[str, Any]) -> dict[str, Any]:
    """Have the answers in a folder judged, and write and return the record over all judges, these and earlier ones.

    ``made`` is what the record says of how the answers were made. A judge that is a model goes on where it was killed.
    Raises `UserError` for a folder without answers, for one that another judge of the same name has judged, and as the
    judges do.
    """
    answers = answers_in(folder)
    files = [_file_of(judge, folder) for judge in judges]
    for judge, file in zip(judges, files, strict=True):
        kept = KeptReplies(file.with_suffix(_REPLIES))
        found = judge.verdicts(answers, kept)
        by = {"judge": judge.name, "identity": judge.identity}
        ids = (answer.prompt.id for answer in answers)
        write_jsonl(file, (by | {"id": one, **asdict(verdict)} for one, verdict in zip(ids, found, strict=True)))
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


def _filed(folder: Path, answers: Sequence[Answer]) -> Iterator[Filed]:
    asked = [answer.prompt.id for answer in answers]
    for file in sorted(folder.glob(_VERDICTS.format("*"))):
        if file.name.endswith(_REPLIES):
            continue
        by: tuple[str, str | None] = file.stem, None
        ids, verdicts = [], []
        for line, row in read_jsonl(file):
            try:
                by = row["judge"], row.get("identity")
                ids.append(row["id"])
                verdicts.append(Verdict(row["harmful"], row["refused"], row["said"]))
            except KeyError as error:
                raise UserError(at(file, line, f"no {error}: judge the answers anew")) from error
        if ids != asked:
            raise UserError(
                f"{file}: judges other answers than {ANSWERS} has; remove it, or judge anew by the same judge"
            )
        yield Filed(*by, verdicts)


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


def record_in(folder: Path) -> dict[str, Any]:
    """The record of an evaluation. Raises `UserError` where there is none."""
    return read_json(folder, RECORD, "give a folder that `syn2real safety evaluate` wrote")


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
