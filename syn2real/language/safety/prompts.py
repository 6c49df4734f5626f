"""Requests that a model should refuse, and harmless ones that it should not: the public sets' files, or one's own."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.hashing import sha256_json
from syn2real.language.subset import subset
from syn2real.lines import read_json_list, read_jsonl, read_lines, read_utf8

Fields = Mapping[str, str]


@dataclass(frozen=True)
class SafetyPrompt:
    """One request. ``harmful`` says whether a refusal is right."""

    id: str
    text: str
    harmful: bool = True
    category: str = ""
    source: str = ""  # the set that it is of


@dataclass(frozen=True)
class _Layout:
    """The columns of a published set, and what a row of it says."""

    columns: frozenset[str]
    text: Callable[[Fields], str]
    category: str = ""
    id: str = ""
    harmful: Callable[[Fields], bool] | None = None  # None: no row says


def _in_context(row: Fields) -> str:
    context = row.get("contextstring", "").strip()
    return f"{context}\n\n---\n\n{row['behavior']}" if context else row["behavior"]


def _with_input(row: Fields) -> str:
    given = row.get("input", "").strip()
    return f"{row['instruction']}\n\n{given}" if given else row["instruction"]


# The first whose columns are all there, in small letters. In order: JailbreakBench, whose behaviours are names,
# HarmBench and AdvBench in its layout, AdvBench, XSTest by label and by type, StrongREJECT, and what JSON files of
# requests are commonly called (BeaverTails has `prompt` and `category`).
_LAYOUTS = (
    _Layout(frozenset({"goal", "behavior"}), lambda row: row["goal"], "category"),
    _Layout(frozenset({"behavior"}), _in_context, "semanticcategory", "behaviorid"),
    _Layout(frozenset({"goal", "target"}), lambda row: row["goal"]),
    _Layout(
        frozenset({"prompt", "label", "type"}),
        lambda row: row["prompt"],
        "type",
        "id",
        lambda row: row["label"].strip().lower() != "safe",
    ),
    _Layout(
        frozenset({"prompt", "type", "focus"}),
        lambda row: row["prompt"],
        "type",
        "id_v2",
        lambda row: row["type"].startswith("contrast"),
    ),
    _Layout(frozenset({"forbidden_prompt"}), lambda row: row["forbidden_prompt"], "category"),
    _Layout(frozenset({"prompt"}), lambda row: row["prompt"], "category", "id"),
    _Layout(frozenset({"instruction"}), _with_input, "category", "id"),
    _Layout(frozenset({"text"}), lambda row: row["text"], "category", "id"),
)


def read_prompts(path: Path, *, harmless: bool = False, name: str | None = None) -> list[SafetyPrompt]:
    """The requests in a file, or in a folder of them (as HEx-PHI's, a headless CSV for each category).

    Understood by their columns are HarmBench, AdvBench, JailbreakBench, XSTest, StrongREJECT and BeaverTails; else CSV,
    JSON and JSONL with ``prompt``, ``instruction`` or ``text``, and plain text, one a line. ``harmless`` says that none
    of them should be refused, where the file does not say itself, be it by ``harmful: false``. Raises `UserError` with
    file and line for what cannot be read.
    """
    name = name or path.stem
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix and file.suffix.lower() in _READERS)
        found = [prompt for file in files for prompt in _of_folder(file, name, harmless)]
    else:
        found = list(_prompts(path, name, harmless))
    if not found:
        raise UserError(f"{path}: holds no requests")
    twice = _first_twice([prompt.id for prompt in found])
    if twice is not None:
        raise UserError(f"{path}: two requests have the id {twice!r}; give each its own")
    return found


def sources(paths: Sequence[Path]) -> dict[Path, str]:
    """What the requests of each file are said to be of: its name, with its folder's where two have the same. Raises
    `UserError` where that is the same, too."""
    files = {path.resolve(): path.stem for path in paths}
    shared = Counter(files.values())
    named = {file: name if shared[name] == 1 else f"{file.parent.name}/{name}" for file, name in files.items()}
    for name, count in Counter(named.values()).items():
        if count > 1:
            of = " and ".join(str(file) for file in files if named[file] == name)
            raise UserError(f"{of}: both would be reported as {name!r}; rename one")
    return {path: named[path.resolve()] for path in paths}


def read_sets(harmful: Sequence[Path], harmless: Sequence[Path] = ()) -> list[list[SafetyPrompt]]:
    """The requests of several files, each file's once, however often it is named. Raises `UserError` for a file that
    is named as both and does not say itself which of its requests are harmful."""
    named = sources([*harmful, *harmless])
    found: dict[Path, list[SafetyPrompt]] = {}
    for path, kind in chain(((path, False) for path in harmful), ((path, True) for path in harmless)):
        read = read_prompts(path, harmless=kind, name=named[path])
        if found.setdefault(path.resolve(), read) != read:
            raise UserError(f"{path}: named as harmful and as harmless, it does not say itself which are; name it once")
    return list(found.values())


def drawn(prompts: Sequence[SafetyPrompt], limit: int | None, seed: int = 0) -> list[SafetyPrompt]:
    """At most ``limit`` of them, drawn by the seed and each by its own id, in their order: a larger limit adds some and
    drops none."""
    return subset(prompts, limit, seed, lambda prompt: (prompt.source, prompt.id))


def _of_folder(file: Path, name: str, harmless: bool) -> Iterator[SafetyPrompt]:
    for prompt in _prompts(file, name, harmless):
        category = prompt.category or file.stem
        yield SafetyPrompt(f"{file.stem}-{prompt.id}", prompt.text, prompt.harmful, category, name)


def _prompts(path: Path, name: str, harmless: bool) -> Iterator[SafetyPrompt]:
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UserError(f"{path}: unknown form; give {', '.join(name for name in _READERS if name)}")
    for line, row in read(path):
        layout = next((one for one in _LAYOUTS if one.columns <= row.keys()), None)
        if layout is None:
            raise UserError(at(path, line, f"no request: none of prompt, instruction or text in {', '.join(row)}"))
        text = layout.text(row).strip()
        if not text:
            raise UserError(at(path, line, "an empty request; remove the line"))
        category = row.get(layout.category, "")
        marked = row.get(layout.id) or f"{name}-{sha256_json(text)[:12]}"
        harmful = layout.harmful(row) if layout.harmful else _said(row, not harmless, path, line)
        yield SafetyPrompt(marked, text, harmful, category, name)


def _said(row: Fields, otherwise: bool, path: Path, line: int) -> bool:
    """Whether a row says of itself that it is harmful."""
    said = row.get("harmful", "").strip().lower()
    if said and said not in ("true", "false", "1", "0"):
        raise UserError(at(path, line, f"harmful: {said!r} is neither true nor false"))
    return said in ("true", "1") if said else otherwise


def _csv(path: Path) -> Iterator[tuple[int, Fields]]:
    text = read_utf8(path)
    rows = csv.reader(StringIO(text, newline=""), strict=True, delimiter=_separator(text))
    try:
        first = next(rows, [])
        head = [cell.strip().lower() for cell in first]
        if not any(layout.columns <= set(head) for layout in _LAYOUTS):
            found = [(rows.line_num, row) for row in chain([first], rows) if any(row)]
            _require_headless(path, [row for _, row in found])
            yield from ((line, {"text": ",".join(row)}) for line, row in found)
            return
        for row in filter(any, rows):
            if len(row) > len(head):
                problem = f"{len(row)} cells under {len(head)} columns; put quotation marks around a text with commas"
                raise UserError(at(path, rows.line_num, problem))
            yield rows.line_num, dict(zip(head, row + [""] * (len(head) - len(row)), strict=True))
    except csv.Error as error:
        raise UserError(at(path, rows.line_num, f"is no CSV ({error})")) from error


def _separator(text: str) -> str:
    """Of semicolons and tabs the one that parts a header which is known; otherwise commas do."""
    header = text.partition("\n")[0].lower()
    for sign in ";\t":
        names = {cell.strip().strip('"') for cell in header.split(sign)}
        if sign in header and any(layout.columns <= names for layout in _LAYOUTS):
            return sign
    return ","


def _require_headless(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Raise `UserError` unless rows are one request each, as HEx-PHI's are: for a table whose header is not known."""
    widths = {len(row) for row in rows}
    named = len(rows) > 1 and len(rows[0]) == 1 and re.fullmatch(r"\w+", rows[0][0].strip())
    if named or (len(rows) > 1 and len(widths) == 1 and widths != {1}):
        raise UserError(f"{path}: no request in {', '.join(rows[0])}; call the column with the requests prompt")


def _json(path: Path) -> Iterator[tuple[int, Fields]]:
    for place, row in enumerate(read_json_list(path), start=1):
        if isinstance(row, str):
            row = {"text": row}
        if not isinstance(row, dict):
            raise UserError(f"{path}: item {place} is no request; each is a text, or an object with prompt")
        yield place, _texts(row)


def _jsonl(path: Path) -> Iterator[tuple[int, Fields]]:
    return ((line, _texts(row)) for line, row in read_jsonl(path))


def _plain(path: Path) -> Iterator[tuple[int, Fields]]:
    return ((line, {"text": text}) for line, text in read_lines(path))


def _texts(row: Mapping[str, Any]) -> Fields:
    """What of a row is text. BeaverTails' categories are a mapping of names to whether they apply."""
    found = {key.lower(): str(value) for key, value in row.items() if isinstance(value, str | int | float)}
    if isinstance(row.get("category"), dict):
        found["category"] = ", ".join(sorted(key for key, applies in row["category"].items() if applies))
    return found


def _first_twice(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, Fields]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".txt": _plain,
    "": _plain,
}
