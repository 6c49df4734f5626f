"""Transcripts from files: references and hypotheses of any recogniser, to be scored.

JSONL (NeMo manifests), CSV and TSV with a header, or plain text with one utterance a line, blank lines included.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from syn2real.errors import UserError, at
from syn2real.lines import read_jsonl, read_lines
from syn2real.speech.scoring import Pair, Transcript, pair_up
from syn2real.speech.tables import read_table

Side = Literal["reference", "hypothesis"]
_FIELDS: dict[Side, tuple[str, ...]] = {"reference": ("text",), "hypothesis": ("pred_text", "text")}
_Row = tuple[int, str, Transcript]  # line number, id, transcript


def read_transcripts(path: Path, side: Side = "reference") -> dict[str, Transcript]:
    """The transcripts of a file by utterance id, in its order.

    References are read from the field or column ``text``, hypotheses from ``pred_text`` or else ``text``. The id is
    the field ``id``, else the audio path without its suffix; in plain text it is the line's number. A transcript
    may be empty. Raises `UserError` naming file and line for what cannot be read, lacks a field, or repeats an id.
    """
    transcripts: dict[str, Transcript] = {}
    first: dict[str, int] = {}
    for number, name, transcript in _reader(path)(path, side):
        if name in transcripts:
            raise UserError(at(path, number, f"duplicate id {name!r} (first on line {first[name]}); give each its own"))
        transcripts[name], first[name] = transcript, number
    if not transcripts:
        raise UserError(f"{path}: holds no transcripts")
    return transcripts


def read_pairs(references: Path, hypotheses: Path | None = None) -> list[Pair]:
    """Pairs to score: two files joined by id, or one file whose lines hold both ``text`` and ``pred_text``.

    Raises `UserError` for ids (or numbers of lines, in plain text) that do not match.
    """
    if hypotheses is None:
        return _both(references)
    said, heard = read_transcripts(references), read_transcripts(hypotheses, "hypothesis")
    if _is_plain(references) and _is_plain(hypotheses) and len(said) != len(heard):
        raise UserError(
            f"{references} has {len(said)} lines but {hypotheses} has {len(heard)}; "
            "plain text is joined line by line: write an empty line for an empty transcript"
        )
    try:
        return pair_up(said, heard)
    except UserError as error:
        raise UserError(f"{hypotheses}: {error}") from error


def _reader(path: Path) -> Callable[[Path, Side], Iterator[_Row]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if _is_plain(path):
        return _plain
    return _table if path.suffix.lower() in (".csv", ".tsv") else _manifest


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() not in (".jsonl", ".json", ".csv", ".tsv")


def _both(path: Path) -> list[Pair]:
    if _is_plain(path):
        raise UserError(f"{path}: give a second file with the hypotheses; plain text holds one side only")
    for number, names in _columns(path):
        absent = {"text", "pred_text"} - names
        if absent:
            problem = f"no {min(absent)!r}: to score one file alone each line needs 'text' and 'pred_text'"
            raise UserError(at(path, number, problem))
    return pair_up(read_transcripts(path), read_transcripts(path, "hypothesis"))


def _columns(path: Path) -> Iterator[tuple[int, set[str]]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    rows = read_table(path, "id") if path.suffix.lower() in (".csv", ".tsv") else read_jsonl(path)
    yield from ((number, set(row)) for number, row in rows)


def _plain(path: Path, side: Side) -> Iterator[_Row]:
    kept = dict(read_lines(path))
    total = path.read_text(encoding="utf-8-sig").removesuffix("\n").count("\n") + 1 if kept else 0
    for number in range(1, total + 1):
        yield number, str(number), Transcript(kept.get(number, "").strip())


def _manifest(path: Path, side: Side) -> Iterator[_Row]:
    for number, row in read_jsonl(path):
        yield _row(path, number, row, side)


def _table(path: Path, side: Side) -> Iterator[_Row]:
    for number, row in read_table(path, "id"):
        yield _row(path, number, row, side)


def _row(path: Path, number: int, row: dict[str, Any], side: Side) -> _Row:
    name = row.get("id")
    audio = row.get("audio_filepath")
    if name is None and isinstance(audio, str):
        name = str(Path(audio).with_suffix(""))  # as a corpus names an utterance without an id
    if not isinstance(name, str) or not name:
        raise UserError(at(path, number, "no 'id' (a string) and no 'audio_filepath' to name the utterance by"))
    wanted = next((known for known in _FIELDS[side] if row.get(known) is not None), None)
    if wanted is None:
        options = " or ".join(repr(known) for known in _FIELDS[side])
        raise UserError(
            at(path, number, f"no {options} for {name!r}; give every {side} its text, if only an empty one")
        )
    if not isinstance(row[wanted], str):
        raise UserError(at(path, number, f"field {wanted!r} must be a string, not {str(row[wanted])[:40]}"))
    return number, name, Transcript(row[wanted], _label(row, "speaker"), _label(row, "domain"))


def _label(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    return None if value in (None, "") else str(value)
