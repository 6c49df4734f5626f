"""Reading transcripts in whatever form they are, and joining references with hypotheses."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from syn2real.errors import UserError, at, did_you_mean
from syn2real.speech.scoring import Pair, Transcript, pair_up
from syn2real.speech.transcripts.plain import read_kaldi, read_plain
from syn2real.speech.transcripts.rows import Line, Side, name_of, raw_rows, read_columns, read_manifest
from syn2real.speech.transcripts.sclite import hypotheses_of, nearest, read_stm, read_trn

Reader = Callable[[Path, Side], Iterator[Line]]
_READERS: dict[str, Reader] = {
    "jsonl": read_manifest,
    "csv": read_columns,
    "tsv": read_columns,
    "text": read_plain,
    "kaldi": read_kaldi,
    "trn": read_trn,
    "stm": read_stm,
}
FORMATS = (*_READERS, "ctm")
ALTERNATING = ("trn", "stm")  # whose references may leave a choice
ROWS = ("jsonl", "csv", "tsv")  # whose lines have fields
_SUFFIXES = {".jsonl": "jsonl", ".json": "jsonl"} | {f".{name}": name for name in ("csv", "tsv", "trn", "stm", "ctm")}


def format_of(path: Path, given: str | None = None) -> str:
    """``given``, else what the name tells: a file called ``text`` is Kaldi's, an unknown suffix plain text.

    Raises `UserError` for an unknown format.
    """
    if given is not None:
        if given not in FORMATS:
            raise UserError(f"--format {given}: unknown{did_you_mean(given, FORMATS)}")
        return given
    return "kaldi" if path.name == "text" else _SUFFIXES.get(path.suffix.lower(), "text")


def read_transcripts(path: Path, side: Side = "reference", form: str | None = None) -> dict[str, Transcript]:
    """The transcripts of a file by utterance id, in its order.

    Of rows with fields, references are read from ``text``, hypotheses from ``pred_text`` or else ``text``. A transcript
    may be empty. Raises `UserError` naming file and line for what cannot be read, lacks a field, or repeats an id.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    found = format_of(path, form)
    if found == "ctm":
        raise UserError(f"{path}: ctm is a list of timed words; it can be scored against references in stm")
    transcripts = _read(path, found, side)
    if found in ALTERNATING:
        return {name: replace(said, text=nearest(said.text, "")) for name, said in transcripts.items()}
    return transcripts


def read_pairs(references: Path, hypotheses: Path | None = None, form: str | None = None) -> list[Pair]:
    """Pairs to score: two files joined by id, or one file whose lines hold both ``text`` and ``pred_text``.

    ``form`` is the format of both where their names do not tell it. Raises `UserError` for ids (or numbers of lines,
    in plain text) that do not match.
    """
    if hypotheses is None:
        return _both(references, form)
    forms = format_of(references, form), format_of(hypotheses, form)
    for path in (references, hypotheses):
        if not path.is_file():
            raise UserError(f"{path}: no such file")
    if forms[0] == "ctm" or (forms[1] == "ctm" and forms[0] != "stm"):
        raise UserError(f"{references}: a ctm file is scored against references in stm, which have times")
    said = _read(references, forms[0], "reference")
    if forms[1] == "ctm":
        heard = hypotheses_of(references, hypotheses)
    else:
        heard = read_transcripts(hypotheses, "hypothesis", form)
    if forms == ("text", "text") and len(said) != len(heard):
        raise UserError(
            f"{references} has {len(said)} lines but {hypotheses} has {len(heard)}; "
            "plain text is joined line by line: write an empty line for an empty transcript"
        )
    try:
        pairs = pair_up(said, heard)
    except UserError as error:
        raise UserError(f"{hypotheses}: {error}") from error
    if forms[0] in ALTERNATING:
        return [_read_as_heard(pair) for pair in pairs]
    return pairs


def _read_as_heard(pair: Pair) -> Pair:
    written = pair.reference if "{" in pair.reference else None
    return replace(pair, reference=nearest(pair.reference, pair.hypothesis), written=written)


def _read(path: Path, form: str, side: Side) -> dict[str, Transcript]:
    """The transcripts as they stand, alternations and all."""
    transcripts: dict[str, Transcript] = {}
    first: dict[str, int] = {}
    for number, name, transcript in _READERS[form](path, side):
        if name in transcripts:
            raise UserError(at(path, number, f"duplicate id {name!r} (first on line {first[name]}); give each its own"))
        transcripts[name], first[name] = transcript, number
    if not transcripts:
        raise UserError(f"{path}: holds no transcripts")
    return transcripts


def read_field(path: Path, field: str, form: str | None = None) -> dict[str, str]:
    """A field of every row by utterance id, such as ``gender``. Raises `UserError` for a file whose lines have no
    fields, and naming the line that lacks this one."""
    known = format_of(path, form)
    if known not in ROWS:
        raise UserError(f"{path}: has no field {field!r}; only JSONL, CSV and TSV have fields")
    found = {}
    for number, row in raw_rows(path, known):
        if row.get(field) in (None, ""):
            raise UserError(at(path, number, f"no {field!r}{did_you_mean(field, row)}"))
        found[name_of(path, number, row)] = str(row[field])
    return found


def read_recordings(path: Path, form: str | None = None) -> dict[str, str]:
    """The recording of every utterance whose row names one that is there; none where rows have no fields."""
    known = format_of(path, form)
    if known not in ROWS:
        return {}
    found = {}
    for number, row in raw_rows(path, known):
        audio = row.get("audio_filepath")
        if isinstance(audio, str) and (place := path.parent / audio).is_file():
            found[name_of(path, number, row)] = str(place)
    return found


def _both(path: Path, form: str | None) -> list[Pair]:
    known = format_of(path, form)
    if known not in ROWS:
        raise UserError(f"{path}: give a second file with the hypotheses; this form holds one side only")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    for number, row in raw_rows(path, known):
        absent = {"text", "pred_text"} - set(row)
        if absent:
            problem = f"no {min(absent)!r}: to score one file alone each line needs 'text' and 'pred_text'"
            raise UserError(at(path, number, problem))
    return pair_up(read_transcripts(path, "reference", form), read_transcripts(path, "hypothesis", form))
