"""Utterances and the immutable corpora they form, kept as JSONL manifests with NeMo's field names."""

import json
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Literal

from syn2real.errors import AudioError, UserError, at, did_you_mean
from syn2real.hashing import seed_from, sha256_file, sha256_json
from syn2real.lines import read_jsonl, read_lines, write_jsonl
from syn2real.speech import audio

MANIFEST = "manifest.jsonl"  # of a corpus that is a directory
ROUNDED = 0.1  # s by which a manifest's duration of a whole recording may be off

Unit = Literal["id", "text", "speaker"]


@dataclass(frozen=True)
class Sentence:
    """A line of domain text: what can be spoken by an engine."""

    id: str
    text: str
    domain: str | None = None
    label: str | None = None  # the transcript, where it is not the text that is spoken
    written: str | None = None  # the text before it was put in the words that are spoken, where that changed it


@dataclass(frozen=True)
class Utterance:
    """One recording and its transcript. ``audio_filepath`` is absolute in memory, relative in a manifest."""

    id: str
    audio_filepath: Path
    duration: float  # s
    text: str
    domain: str | None = None
    speaker: str | None = None
    source: Literal["real", "synthetic"] = "real"
    engine: str | None = None
    voice: str | None = None
    seed: int | None = None
    licence: str | None = None
    language: str | None = None  # ISO 639-1
    extra: dict[str, Any] = field(default_factory=dict, hash=False)  # fields of other tools, kept as they came

    @property
    def sentence(self) -> Sentence:
        """The text alone, as it would be given to an engine."""
        return Sentence(self.id, self.text, self.domain)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "audio_filepath": str,
    "duration": (int, float),
    "text": str,
    "domain": str,
    "speaker": str,
    "source": str,
    "engine": str,
    "voice": str,
    "seed": int,
    "licence": str,
    "language": str,
}


@dataclass(frozen=True)
class Corpus:
    """An immutable, ordered set of utterances with distinct ids."""

    utterances: tuple[Utterance, ...]

    def __post_init__(self) -> None:
        counts = Counter(utterance.id for utterance in self.utterances)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise UserError(f"duplicate utterance id {twice[0]!r} ({len(twice)} in all); ids must be distinct")

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> "Corpus":
        """A corpus of these utterances, in this order."""
        return cls(tuple(utterances))

    @classmethod
    def load(cls, manifest: Path | str, audio_root: Path | str | None = None) -> "Corpus":
        """Read a JSONL manifest; audio paths are relative to it (or to ``audio_root``) and may not leave that folder.

        Raises `UserError` naming file and line for a line that is not a JSON object, a missing or mistyped field,
        empty text, a duplicate id, a segment of a longer recording (``offset``), and audio that is missing, unreadable,
        empty or outside the folder.
        """
        return Manifest.read(Path(manifest), Path(audio_root) if audio_root else None).corpus()

    def save(self, manifest: Path) -> None:
        """Write the manifest, whole or not at all. Raises `UserError` for audio outside the manifest's folder."""
        self.require_beneath(manifest)
        write_jsonl(manifest, self.rows(manifest.parent.resolve()))

    def require_beneath(self, manifest: Path) -> None:
        """Raise `UserError` for audio outside the manifest's folder."""
        base = manifest.parent.resolve()
        for utterance in self.utterances:
            if not utterance.audio_filepath.resolve().is_relative_to(base):
                raise UserError(f"{manifest}: {utterance.audio_filepath} lies outside the manifest's folder")

    def rows(self, base: Path) -> list[dict[str, Any]]:
        """Manifest rows, audio paths relative to ``base``."""
        return [_record(utterance, base.resolve()) for utterance in self]

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __getitem__(self, index: int) -> Utterance:
        return self.utterances[index]

    def __add__(self, other: "Corpus") -> "Corpus":
        return Corpus(self.utterances + other.utterances)

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return sum(utterance.duration for utterance in self)

    @property
    def domains(self) -> list[str]:
        """The domains named, sorted."""
        return sorted({utterance.domain for utterance in self if utterance.domain is not None})

    @property
    def speakers(self) -> set[str]:
        """The speakers named."""
        return {utterance.speaker for utterance in self if utterance.speaker}

    @property
    def licences(self) -> list[str]:
        """The licences named, sorted."""
        return sorted({utterance.licence for utterance in self if utterance.licence})

    @property
    def sentences(self) -> list[Sentence]:
        """The text of every utterance, in order."""
        return [utterance.sentence for utterance in self]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every utterance's fields and its audio's bytes: what a stage is keyed by."""
        return sha256_json([[_record(u, None), sha256_file(u.audio_filepath)] for u in self])

    def filter(self, keep: Callable[[Utterance], bool]) -> "Corpus":
        """The utterances for which ``keep`` holds."""
        return Corpus.of(u for u in self if keep(u))

    def domain(self, *names: str) -> "Corpus":
        """The utterances of these domains."""
        return self.filter(lambda u: u.domain in names)

    def without(self, *names: str) -> "Corpus":
        """The utterances of all other domains."""
        return self.filter(lambda u: u.domain not in names)

    def sample(self, size: int, seed: int = 0) -> "Corpus":
        """At most ``size`` utterances drawn without replacement, in the corpus's order."""
        if size >= len(self):
            return self
        chosen = set(Random(seed).sample(range(len(self)), size))
        return Corpus.of(u for index, u in enumerate(self) if index in chosen)

    def split(self, fraction: float, seed: int = 0, by: Unit = "id") -> tuple["Corpus", "Corpus"]:
        """Two parts, the first holding about ``fraction`` of the distinct ids, texts or speakers.

        What shares a text (or a speaker) stays on one side, so that the parts have none in common.
        """
        units = sorted({_unit(u, by) for u in self}, key=lambda unit: seed_from(seed, unit))
        first = set(units[: round(len(units) * fraction)])
        return self.filter(lambda u: _unit(u, by) in first), self.filter(lambda u: _unit(u, by) not in first)

    def problems(self) -> list[str]:
        """Decode every recording and name each that is silent, damaged, not a number or too long."""
        found = []
        for utterance in self:
            try:
                audio.require_window(utterance.audio_filepath, utterance.duration)
                audio.read(utterance.audio_filepath)
            except AudioError as error:
                found.append(str(error))
        return found

    def require_sound(self) -> None:
        """Raise `AudioError` for the first recording with a problem, so that nothing starts which must fail later."""
        found = self.problems()
        if found:
            more = f" ({len(found) - 1} more; `syn2real corpus validate` lists all)" if len(found) > 1 else ""
            raise AudioError(found[0] + more)


Row = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The lines of a manifest, by number. No audio is opened before a corpus is asked for, and then only that
    corpus's: a study may hold recordings in its manifest that it must not touch."""

    path: Path
    base: Path  # what audio paths are relative to, and may not leave
    rows: tuple[tuple[int, Row], ...]

    @classmethod
    def read(cls, path: Path, audio_root: Path | None = None) -> "Manifest":
        """Read a JSONL manifest, or that of a corpus by its folder. Raises `UserError` naming file and line for a line
        that is no utterance, and for an id given twice."""
        if path.is_dir():
            path = path / MANIFEST
        if not path.is_file():
            raise UserError(f"{path}: no such manifest; `syn2real corpus import` makes one of recordings")
        rows: list[tuple[int, Row]] = []
        seen: dict[str, int] = {}
        for number, row in read_jsonl(path):
            try:
                checked_fields(row)
            except UserError as error:
                raise type(error)(at(path, number, str(error))) from error
            name = _identity(row)
            if name in seen:
                problem = f"duplicate id {name!r} (first on line {seen[name]}); give each its own"
                raise UserError(at(path, number, problem))
            seen[name] = number
            rows.append((number, row))
        if not rows:
            raise UserError(f"{path}: holds no utterances")
        return cls(path, (audio_root or path.parent).resolve(), tuple(rows))

    def select(self, keep: Callable[[Row], bool]) -> "Manifest":
        """The lines for which ``keep`` holds."""
        return Manifest(self.path, self.base, tuple((number, row) for number, row in self.rows if keep(row)))

    def require(self, wanted: "Fields", key: str) -> None:
        """Raise `UserError` where no line has these fields, naming the ``key`` of a recipe that asks for them and what
        there is instead."""
        if any(wanted(row) for _, row in self.rows):
            return
        stated = [{"source": "real"} | row for _, row in self.rows]
        for name, given in wanted.wanted.items():
            there = {str(row[name]) for row in stated if row.get(name) is not None}
            if not there:
                names = {name for row in stated for name in row}
                raise UserError(f"{self.path}: {key}: no line has a field {name!r}{did_you_mean(name, names)}")
            values = [given] if isinstance(given, str) else given
            if not there & {*values}:
                spelt = did_you_mean(values[0], there) if values else ""
                raise UserError(f"{self.path}: {key}: no line has the {name} {' or '.join(map(repr, values))}{spelt}")
        raise UserError(f"{self.path}: {key}: no line has all of {dict(wanted.wanted)}")

    @property
    def sentences(self) -> list[Sentence]:
        """The text of every line, in order."""
        return [Sentence(_identity(row), " ".join(row["text"].split()), row.get("domain")) for _, row in self.rows]

    def corpus(self) -> Corpus:
        """The utterances of these lines; their audio's headers are read. Raises as `Corpus.load` does."""
        return Corpus.of(self._utterances())

    def _utterances(self) -> Iterator[Utterance]:
        for number, row in self.rows:
            try:
                yield _utterance(row, self.base)
            except UserError as error:
                raise type(error)(at(self.path, number, str(error))) from error


@dataclass(frozen=True)
class Fields:
    """Whether a line has these fields, as ``{"split": "train"}`` or, where any of several values will do,
    ``{"domain": ["animals", "food"]}``; with none, every line has them."""

    wanted: Mapping[str, str | Sequence[str]]

    def __call__(self, row: Row) -> bool:
        """True when every field has the value wanted; a line that names no ``source`` is real."""
        stated = {"source": "real"} | row
        return all(
            str(stated.get(name)) in ([values] if isinstance(values, str) else values)
            for name, values in self.wanted.items()
        )


def read_sentences(path: Path, domain: str | None = None) -> list[Sentence]:
    """Domain text: one sentence a line of a text file, or the ``text`` of each line of a ``.jsonl`` manifest.

    Blank lines are skipped. Raises `UserError` naming file and line for text that is not UTF-8 or a line without text.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a text file with one sentence a line, or a JSONL manifest")
    sentences = []
    if path.suffix == ".jsonl":
        for number, row in read_jsonl(path):
            text, where = row.get("text"), row.get("domain") or domain
            if not isinstance(text, str) or not text.strip():
                raise UserError(at(path, number, "empty text; give every line a 'text'"))
            if where is not None and not isinstance(where, str):
                raise UserError(at(path, number, f"field 'domain' must be a string, not {json.dumps(where)[:40]}"))
            sentences.append(Sentence(str(row.get("id") or f"{path.stem}-{number:05d}"), text.strip(), where))
    else:
        for number, line in read_lines(path):
            sentences.append(Sentence(f"{path.stem}-{number:05d}", line.strip(), domain))
    if not sentences:
        raise UserError(f"{path}: holds no text")
    return sentences


def sentence_key(text: str) -> str:
    """What makes two texts the same sentence: their words, without case and punctuation."""
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text.casefold())
    return " ".join(kept.split()) or text.strip()


def distinct(sentences: Iterable[Sentence]) -> tuple[Sentence, ...]:
    """Each sentence once, in order of first appearance, with an id that depends on the text alone."""
    unique: dict[str, Sentence] = {}
    for sentence in sentences:
        unique.setdefault(sentence_key(sentence.text), sentence)
    return tuple(replace(s, id=f"t{sha256_json(s.text)[:12]}") for s in unique.values())


def one_each(recordings: Corpus) -> list[Sentence]:
    """The sentence of every recording, each once for each, with an id that depends on the recording: what is spoken so
    that a model hears as much synthetic speech as real."""
    return [replace(u.sentence, id=f"s{sha256_json([u.id, u.text])[:12]}") for u in recordings]


def _unit(utterance: Utterance, by: Unit) -> str:
    if by == "speaker":
        return utterance.speaker or utterance.id
    return sentence_key(utterance.text) if by == "text" else utterance.id


def _record(utterance: Utterance, base: Path | None) -> dict[str, Any]:
    record = {f.name: getattr(utterance, f.name) for f in fields(utterance) if f.name != "extra"}
    path = utterance.audio_filepath
    record["audio_filepath"] = os.path.relpath(path.resolve(), base) if base else path.name
    return {name: value for name, value in record.items() if value is not None} | utterance.extra


def named_from(folder: Path, recording: Path, written: str) -> str:
    """How a manifest in ``folder`` names a recording: by the way there where it lies beneath, else as it was
    ``written``."""
    base, path = folder.resolve(), recording.resolve()
    return str(path.relative_to(base)) if path.is_relative_to(base) else written


def checked_fields(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a row that we know, with their types checked and the text's white space made single."""
    for name in ("audio_filepath", "text"):
        if row.get(name) is None:
            raise UserError(f"field {name!r} is missing")
    known = {name: value for name, value in row.items() if name in _TYPES and value is not None}
    for name, value in known.items():
        kind = _TYPES[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = "number" if name in ("duration", "seed") else "string"
            raise UserError(f"field {name!r} must be a {wanted}, not {json.dumps(value)[:40]}")
    if not 0 <= known.get("duration", 0) < math.inf:
        raise UserError(f"field 'duration' must be seconds, 0 or more, not {known['duration']}")
    if known.get("source", "real") not in ("real", "synthetic"):
        raise UserError(f"field 'source' must be 'real' or 'synthetic', not {known['source']!r}")
    known["text"] = " ".join(known["text"].split())
    if not known["text"]:
        raise UserError("empty text; write the transcript or drop the line")
    if "\0" in known["audio_filepath"] or not Path(known["audio_filepath"].strip()).name:
        raise UserError(f"{json.dumps(known['audio_filepath'])} is not a file name")
    return known


def _identity(row: Row) -> str:
    return str(row.get("id") or Path(row["audio_filepath"]).with_suffix(""))


def _utterance(row: dict[str, Any], base: Path) -> Utterance:
    known = checked_fields(row)
    name = known.pop("audio_filepath")
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise UserError(f"{name} leaves {base}; copy such audio in with `syn2real corpus import manifest`")
    try:
        measured = audio.info(path).duration
    except AudioError as error:
        raise AudioError(str(error).replace(str(path), name)) from error
    _require_whole(row, measured)
    known["id"] = _identity(row)
    extra = {name: value for name, value in row.items() if name not in _TYPES}
    return Utterance(audio_filepath=path, extra=extra, **(known | {"duration": round(measured, 4)}))


def _require_whole(row: Row, measured: float) -> None:
    """Raise `UserError` for a row that is a stretch of its recording of ``measured`` seconds: what it says is not what
    the file says."""
    offset, stated = row.get("offset"), row.get("duration")
    if offset is None:
        return
    if not isinstance(offset, int | float) or isinstance(offset, bool):
        raise UserError(f"field 'offset' must be a number, not {json.dumps(offset)[:40]}")
    if offset == 0 and (stated is None or stated >= measured - ROUNDED):
        return
    stretch = f"offset {offset:g} s" if stated is None else f"offset {offset:g} s, duration {stated:g} s"
    remedy = "cut it first: `syn2real corpus import manifest --from FILE -o FOLDER`"
    raise UserError(f"is a segment ({stretch}) of a recording of {measured:.1f} s; {remedy}")
