"""What is to be transcribed: the lines of a manifest, or audio files. What cannot be opened is named, not fatal."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import AudioError, UserError
from syn2real.lines import read_jsonl
from syn2real.speech import audio
from syn2real.speech.corpus import Corpus, Manifest, Utterance

UNLABELLED = "-"  # stands for a transcript that nobody wrote
AUDIO = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64"} | audio.FOREIGN
MISSING = 0.5  # s by which a recording may be shorter than its manifest says


@dataclass(frozen=True)
class Recording:
    """One recording, and its row in the output; ``problem`` where it cannot be heard, ``utterance`` where it can."""

    id: str
    row: dict[str, Any]
    utterance: Utterance | None = None
    problem: str | None = None

    @property
    def file(self) -> str:
        """Its file, as the row has it."""
        return str(self.row["audio_filepath"])


def read_recordings(given: Sequence[Path]) -> list[Recording]:
    """The recordings of one manifest, or of audio files and folders of them, in order.

    A manifest's lines need no text. A file's id is its path without the ending, or with it where two differ in that
    alone. Raises `UserError` for a file that is no manifest, a line that is no utterance or a segment of a longer
    recording, an id given twice, and when there are no recordings.
    """
    if len(given) == 1 and given[0].suffix == ".jsonl":
        found = list(_manifest(given[0]))
    else:
        if any(path.suffix == ".jsonl" for path in given):
            raise UserError("give one manifest, or audio files and folders; several manifests are several commands")
        paths = list(_files(given))
        stems = Counter(path.with_suffix("") for path in paths)
        found = [_file(path, str(path if stems[path.with_suffix("")] > 1 else path.with_suffix(""))) for path in paths]
    if not found:
        raise UserError(f"{given[0]}: holds no recordings")
    ids: set[str] = set()
    for recording in found:
        if recording.id in ids:
            raise UserError(f"{given[0]}: duplicate id {recording.id!r}; give each recording its own")
        ids.add(recording.id)
    return found


def _manifest(path: Path) -> Iterator[Recording]:
    if not path.is_file():
        raise UserError(f"{path}: no such manifest")
    base = path.parent.resolve()
    for number, row in read_jsonl(path):
        labelled = bool(str(row.get("text") or "").strip())
        line = Manifest(path, base, ((number, row if labelled else row | {"text": UNLABELLED}),))
        try:
            utterance = line.corpus()[0]
        except AudioError as error:
            name = str(row.get("id") or Path(row["audio_filepath"]).with_suffix(""))
            yield Recording(name, row, problem=str(error))
            continue
        written = Corpus.of([utterance]).rows(base)[0]
        if not labelled:
            del written["text"]
        stated = row.get("duration")
        if stated is not None and utterance.duration < 0.9 * stated - MISSING:
            lasts = f"{utterance.audio_filepath}: lasts {utterance.duration:.1f} s, and {stated:.1f} s by the manifest"
            yield Recording(utterance.id, written, problem=f"{lasts}: its end is missing; get it anew")
        else:
            yield Recording(utterance.id, written, utterance)


def _files(given: Sequence[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO and p.is_file())
        elif path.exists():
            yield path
        else:
            raise UserError(f"{path}: no such file; give a manifest, audio files, or a folder of them")


def _file(path: Path, name: str) -> Recording:
    row: dict[str, Any] = {"id": name, "audio_filepath": os.path.relpath(path)}
    try:
        duration = round(audio.info(path).duration, 4)
    except AudioError as error:
        return Recording(name, row, problem=str(error))
    utterance = Utterance(id=name, audio_filepath=path.resolve(), duration=duration, text=UNLABELLED)
    return Recording(name, row | {"duration": duration}, utterance)
