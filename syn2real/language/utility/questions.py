"""Questions with what is right: references to be compared with, or tests that a program must pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at, require_spelt
from syn2real.hashing import sha256_json
from syn2real.lines import read_jsonl

REFERENCE = (
    "reference",
    "completion",
    "answer",
    "canonical_solution",
)  # keys of one reference, the first that is there
IDS = ("id", "task_id")
KEYS = (*IDS, *REFERENCE, "prompt", "references", "test", "tests", "entry_point")


@dataclass(frozen=True)
class Question:
    """One question of a task."""

    id: str
    prompt: str
    references: tuple[str, ...] = ()
    tests: str = ""  # Python, run after the program that was asked for
    entry_point: str = ""  # the function whose beginning the prompt is


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSONL file. A row has

    - ``prompt``,
    - ``references`` (a list) or one of ``reference``, ``completion``, ``answer``: what is right,
    - or ``tests``: Python, as one text or as a list of lines, and perhaps ``entry_point``; HumanEval's ``test``, which
      defines ``check``, is called as its authors do,
    - and perhaps ``id``.

    Raises `UserError` with file and line, and for two of one id.
    """
    found: list[Question] = []
    lines: dict[str, int] = {}
    for line, row in read_jsonl(path):
        try:
            question = question_of(row)
        except UserError as error:
            raise UserError(at(path, line, str(error))) from error
        if question.id in lines:
            again = "the same question" if found[list(lines).index(question.id)] == question else "the id"
            raise UserError(at(path, line, f"{again} {question.id!r} stands in line {lines[question.id]} too"))
        lines[question.id] = line
        found.append(question)
    if not found:
        raise UserError(f"{path}: holds no questions")
    return found


def question_of(row: Mapping[str, Any]) -> Question:
    """The question that a row holds. Raises `UserError`."""
    require_spelt(row, KEYS)
    prompt = _text(row, "prompt")
    entry_point = _text(row, "entry_point") if "entry_point" in row else ""
    references = tuple(_references(row))
    tests = "\n".join(_tests(row, entry_point))
    if not references and not tests:
        raise UserError("has neither reference nor tests, so no answer to it is right or wrong")
    marked = next((str(row[key]) for key in IDS if row.get(key) is not None), None)
    return Question(marked or sha256_json([prompt, references, tests])[:12], prompt, references, tests, entry_point)


def _references(row: Mapping[str, Any]) -> Iterator[str]:
    if "references" in row:
        given = row["references"]
        if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
            raise UserError("references: is no list of texts")
        yield from given
        return
    key = next((key for key in REFERENCE if key in row), None)
    if key is not None:
        yield _text(row, key, empty=True)


def _tests(row: Mapping[str, Any], entry_point: str) -> Iterator[str]:
    if "test" in row:
        yield _text(row, "test")
        if not entry_point:
            raise UserError("test: needs entry_point, the name of the function that is checked")
        yield f"check({entry_point})"
    given = row.get("tests", [])
    lines = [given] if isinstance(given, str) else given
    if not isinstance(lines, list) or not all(isinstance(one, str) for one in lines):
        raise UserError("tests: is neither text nor a list of lines")
    yield from lines


def _text(row: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not (value.strip() or empty):
        raise UserError(f"{key}: {'is missing' if value is None else 'is empty' if value == '' else 'is no text'}")
    return value
