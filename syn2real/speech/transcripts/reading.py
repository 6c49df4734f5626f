"""Reading transcripts in whatever form they are, and joining references with hypotheses."""

from array import array
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from itertools import tee
from pathlib import Path

import numpy as np

from syn2real.errors import UserError, at, did_you_mean
from syn2real.speech.scoring import Pair, Transcript, pair_up
from syn2real.speech.transcripts.plain import read_kaldi, read_plain
from syn2real.speech.transcripts.rows import Line, Side, name_of, raw_rows, read_both, read_csv, read_manifest, read_tsv
from syn2real.speech.transcripts.sclite import leftmost, nearest, read_stm, read_timed, read_trn
from syn2real.speech.verbalisation import bare

Reader = Callable[[Path, Side], Iterator[Line]]
_READERS: dict[str, Reader] = {
    "jsonl": read_manifest,
    "csv": read_csv,
    "tsv": read_tsv,
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
    return {name: _first_reading(said, found) for name, said in transcripts.items()}


def read_pairs(
    references: Path,
    hypotheses: Path | None = None,
    form: str | None = None,
    normalise: Callable[[str], str] = bare,
) -> list[Pair]:
    """All of `iterate_pairs`."""
    return list(iterate_pairs(references, hypotheses, form, normalise))


def iterate_pairs(
    references: Path,
    hypotheses: Path | None = None,
    form: str | None = None,
    normalise: Callable[[str], str] = bare,
) -> Iterator[Pair]:
    """Pairs to score: two files joined by id, or one file whose lines hold both ``text`` and ``pred_text``.

    ``form`` is the format of both where their names do not tell it. ``normalise`` is what they will be scored with, by
    which the nearest of a reference's alternations is found. They come in the references' order, as they are
    read: of two files in one order, one pair is in memory at a time. Raises `UserError` for ids (or numbers of lines,
    in plain text) that do not match, which may be known only at the end.
    """
    for path in filter(None, (references, hypotheses)):
        if not path.is_file():
            raise UserError(f"{path}: no such file")
    said_form = format_of(references, form)
    said: Iterator[Line]
    heard: Iterator[Line]
    if hypotheses is None:
        said, heard = _sides(references, said_form)
    else:
        heard_form = format_of(hypotheses, form)
        if said_form == "ctm" or (heard_form == "ctm" and said_form != "stm"):
            raise UserError(f"{references}: a ctm file is scored against references in stm, which have times")
        if heard_form == "ctm":
            said, heard = read_timed(references, hypotheses)
        else:
            said, heard = _READERS[said_form](references, "reference"), _hypotheses(hypotheses, heard_form)
    settle = partial(_read_as_heard, normalise=normalise) if said_form in ALTERNATING else None
    matching = yield from _join(said, heard, settle)
    if not matching:
        _require_matching(references, hypotheses, form)


def _join(
    said: Iterator[Line], heard: Iterator[Line], settle: Callable[[Pair], Pair] | None
) -> Generator[Pair, None, bool]:
    """Lines with one id, in the order of ``said``, as ``settle`` leaves them. Returns whether every id was on both
    sides, and once."""
    waiting: dict[str, str] = {}
    met = array("q")  # hashes: the ids themselves would take ten times as much
    for line in said:
        while line.id not in waiting:
            other = next(heard, None)
            if other is None or other.id in waiting:
                return False
            waiting[other.id] = other.transcript.text
        met.append(hash(line.id))
        transcript = line.transcript
        pair = Pair(line.id, transcript.text, waiting.pop(line.id), transcript.speaker, transcript.domain)
        yield settle(pair) if settle else pair
    return len(met) > 0 and not waiting and next(heard, None) is None and len(np.unique(met)) == len(met)


def _require_matching(references: Path, hypotheses: Path | None, form: str | None) -> None:
    """Raise `UserError` for the line or the ids because of which two sides cannot be joined, if there are any."""
    said = _read(references, format_of(references, form), "reference")
    if hypotheses is None or format_of(hypotheses, form) == "ctm":
        return
    heard = read_transcripts(hypotheses, "hypothesis", form)
    if {format_of(references, form), format_of(hypotheses, form)} == {"text"} and len(said) != len(heard):
        raise UserError(
            f"{references} has {len(said)} lines but {hypotheses} has {len(heard)}; "
            "plain text is joined line by line: write an empty line for an empty transcript"
        )
    try:
        pair_up(said, heard)
    except UserError as error:
        raise UserError(f"{hypotheses}: {error}") from error


def _read_as_heard(pair: Pair, normalise: Callable[[str], str]) -> Pair:
    written = pair.reference if "{" in pair.reference else None
    return replace(pair, reference=nearest(pair.reference, pair.hypothesis, normalise), written=written)


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


def _sides(path: Path, form: str) -> tuple[Iterator[Line], Iterator[Line]]:
    """References and hypotheses of one file, read once."""
    if form not in ROWS:
        raise UserError(f"{path}: give a second file with the hypotheses; this form holds one side only")
    said, heard = tee(read_both(path, form))
    return (line for line, _ in said), (line for _, line in heard)


def _hypotheses(path: Path, form: str) -> Iterator[Line]:
    for line in _READERS[form](path, "hypothesis"):
        yield line._replace(transcript=_first_reading(line.transcript, form))


def _first_reading(transcript: Transcript, form: str) -> Transcript:
    """Of a transcript that leaves choices, the first of each."""
    return replace(transcript, text=leftmost(transcript.text)) if form in ALTERNATING else transcript
