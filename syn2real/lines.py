"""Text files line by line: read with the numbers errors name, and JSON lines written whole, or added one by one."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.sealing import write_text

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # of a character beyond 16 bits, which JSON escapes as two
_UNREADABLE = "a number too long or brackets too deep to be read"


def read_utf8(path: Path) -> str:
    """The text of a file. Raises `UserError` naming the line that is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        broken = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(at(path, broken, "is not UTF-8; re-save the file as UTF-8")) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file that are not blank. Raises `UserError` naming the line that is not UTF-8."""
    return ((number, line) for number, line in read_all_lines(path) if line.strip())


def read_all_lines(path: Path) -> Iterator[tuple[int, str]]:
    """`read_lines` with those that are blank. One line is in memory at a time."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UserError(at(path, _undecodable(path), "is not UTF-8; re-save the file as UTF-8")) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered objects of a JSONL file. Raises `UserError` with file and line for a line that is no JSON object."""
    for number, line in read_lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(at(path, number, f"not JSON ({error.msg}); each line is one JSON object")) from error
        except (ValueError, RecursionError) as error:
            raise UserError(at(path, number, _UNREADABLE)) from error
        if not isinstance(row, dict):
            raise UserError(at(path, number, "not a JSON object; each line is one {...}"))
        if _HALF.search(line):  # or a whole character, of two halves
            _require_whole(row, f"{path}:{number}")
        yield number, row


def read_json_list(path: Path) -> list[Any]:
    """The items of a JSON file that is one list. Raises `UserError` for what it is otherwise."""
    text = read_utf8(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(at(path, error.lineno, f"not JSON ({error.msg}); JSON lines belong in a .jsonl")) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {_UNREADABLE}") from error
    if not isinstance(found, list):
        raise UserError(f"{path}: is no list; a .json file is one, [..., ...]")
    if _HALF.search(text):
        for place, item in enumerate(found, start=1):
            _require_whole(item, f"{path}: item {place}")
    return found


def append_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append objects to a file that only grows, made with its folder if need be, by one write that is on the disk when
    this returns. Raises `UserError` when it cannot be written, or not to its end."""
    # The first line break ends a line that a kill cut short.
    left = ("\n" + "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            while left:  # a full disk takes a part without complaint, and complains of the rest
                left = left[file.write(left) :]
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; make room, and start again") from error


def appended_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects that `append_jsonl` wrote; none without a file. A line that a kill cut short is passed over."""
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:  # blank, or cut short
            continue
        if isinstance(row, dict):
            yield row


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _require_whole(found: Any, where: str) -> None:
    """Raise `UserError` for half a character in what JSON held."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise UserError(f"{where}: half a character, \\u{code:04x}; write it whole or drop it") from error


def _undecodable(path: Path) -> int:
    """The first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    raise ValueError(f"{path}: every line is UTF-8")
