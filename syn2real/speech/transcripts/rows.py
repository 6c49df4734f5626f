"""Transcripts in JSONL (NeMo manifests, SLURP's predictions) and in CSV or TSV with a header."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from syn2real.errors import UserError, at
from syn2real.lines import read_jsonl
from syn2real.speech.scoring import Transcript
from syn2real.speech.tables import read_table

Side = Literal["reference", "hypothesis"]
_FIELDS: dict[Side, tuple[str, ...]] = {"reference": ("text",), "hypothesis": ("pred_text", "text")}


class Line(NamedTuple):
    """A transcript, the utterance it is of, and where it stands."""

    number: int
    id: str
    transcript: Transcript


def read_manifest(path: Path, side: Side) -> Iterator[Line]:
    """The lines of a JSONL file."""
    yield from _lines(path, read_jsonl(path), side)


def read_csv(path: Path, side: Side) -> Iterator[Line]:
    """The rows of a CSV file."""
    yield from _lines(path, raw_rows(path, "csv"), side)


def read_tsv(path: Path, side: Side) -> Iterator[Line]:
    """The rows of a TSV file."""
    yield from _lines(path, raw_rows(path, "tsv"), side)


def read_both(path: Path, form: str) -> Iterator[tuple[Line, Line]]:
    """Reference and hypothesis of every row. Raises `UserError` naming the line that lacks either."""
    for number, row in raw_rows(path, form):
        absent = {"text", "pred_text"} - set(row)
        if absent:
            problem = f"no {min(absent)!r}: to score one file alone each line needs 'text' and 'pred_text'"
            raise UserError(at(path, number, problem))
        yield _line(path, number, row, "reference", "text"), _line(path, number, row, "hypothesis", "pred_text")


def raw_rows(path: Path, form: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered rows as they are: of a table, or of JSONL."""
    yield from read_jsonl(path) if form == "jsonl" else read_table(path, "id", tabs=form == "tsv")


def name_of(path: Path, number: int, row: dict[str, Any]) -> str:
    """The utterance's id: the field ``id``, else the audio path without its suffix, as a corpus names one without."""
    name = row.get("id")
    recording = row.get("audio_filepath") or row.get("file")  # SLURP's predictions name the recording's file
    if name is None and isinstance(recording, str) and Path(recording).name:
        name = str(Path(recording).with_suffix(""))
    if not isinstance(name, str) or not name:
        raise UserError(at(path, number, "no 'id' (a string) and no 'audio_filepath' to name the utterance by"))
    return name


def _lines(path: Path, rows: Iterable[tuple[int, dict[str, Any]]], side: Side) -> Iterator[Line]:
    """The transcripts of rows, all from one field: a line without ``pred_text`` among others that have it was not
    recognised, and its ``text`` may be the reference."""
    before = None
    for number, row in rows:
        wanted = next((known for known in _FIELDS[side] if known in row), None)
        if before is not None and wanted is not None and wanted != before:
            problem = f"has {wanted!r} where the lines before have {before!r}; give every line the same field"
            raise UserError(at(path, number, problem))
        yield _line(path, number, row, side, wanted)
        before = wanted


def _line(path: Path, number: int, row: dict[str, Any], side: Side, wanted: str | None) -> Line:
    name = name_of(path, number, row)
    if wanted is None or row[wanted] is None:
        options = " or ".join(map(repr, [wanted] if wanted else _FIELDS[side]))
        raise UserError(
            at(path, number, f"no {options} for {name!r}; give every {side} its text, if only an empty one")
        )
    if not isinstance(row[wanted], str):
        raise UserError(at(path, number, f"field {wanted!r} must be a string, not {str(row[wanted])[:40]}"))
    return Line(number, name, Transcript(row[wanted], _label(row, "speaker"), _label(row, "domain")))


def _label(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    return None if value in (None, "") else str(value)
