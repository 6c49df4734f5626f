"""Kaldi data directories: ``wav.scp`` with ``segments``, ``text``, ``utt2spk`` and further ``utt2…`` maps."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.lines import read_lines
from syn2real.speech.corpora.importing import IMPORTERS, STRINGS, Clip, ImportReport, fields_of, import_clips

# Kaldi's own maps, which say nothing more of an utterance that a manifest would hold.
MAPS_OF_KALDI = frozenset({"utt2spk", "utt2dur", "utt2num_frames", "utt2uniq", "utt2warp"})
_CALLED = {"lang": "language"}  # Kaldi's names for our fields


@IMPORTERS.register("kaldi")
def import_kaldi(
    output: Path,
    source: Path,
    audio_root: Path | None = None,
    language: str | None = None,
    licence: str | None = None,
    *,
    lower: bool = False,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import a Kaldi data directory; audio paths are absolute, or relative to it or to ``audio_root``.

    ``utt2spk``, ``spk2gender``, ``utt2lang`` and any other ``utt2NAME`` become fields. Commands in ``wav.scp`` (lines
    ending in ``|``) are never executed: they raise `UserError` with file and line, as do malformed lines. Recordings
    that cannot be used are reported.
    """
    known = {name: value for name, value in (("language", language), ("licence", licence)) if value}
    clips, skipped = read_kaldi(source, audio_root or source, known, lower=lower)
    options: dict[str, Any] = {"limit": limit, "seed": seed, "overwrite": overwrite}
    return import_clips(output, clips, origin={"kind": "kaldi", "lower": lower}, skipped=skipped, **options)


def read_kaldi(
    folder: Path, root: Path, fields: Mapping[str, Any], *, lower: bool = False
) -> tuple[list[Clip], list[tuple[str, str]]]:
    """The clips of a data directory in the order of its ``text``, and the utterances that lack something.

    ``fields`` hold for every clip unless a map says otherwise. Raises `UserError` with file and line.
    """
    for name in ("wav.scp", "text"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no {name}; give a Kaldi data directory, which holds wav.scp and text")
    recordings = {name: _path(folder / "wav.scp", *found, root) for name, found in _read(folder / "wav.scp").items()}
    places = _segments(folder / "segments") if (folder / "segments").is_file() else None
    maps = _maps(folder)
    clips, skipped = [], []
    for utterance, (number, text) in _read(folder / "text", empty=True).items():
        recording, offset, length = (utterance, 0.0, None) if places is None else places.get(utterance, ("", 0.0, None))
        if recording not in recordings:
            skipped.append((utterance, f"no recording in {'wav.scp' if places is None else 'segments and wav.scp'}"))
        elif not text:
            skipped.append((utterance, "no transcript"))
        else:
            path, text = recordings[recording], text.lower() if lower else text
            known = dict(fields) | {name: values[utterance] for name, values in maps.items() if utterance in values}
            identity = known.get("id", utterance)
            try:
                known = fields_of(known | {"audio_filepath": str(path), "text": text})
            except UserError as error:
                raise UserError(at(folder / "text", number, f"{utterance}: {error}")) from error
            clips.append(Clip(utterance, path, identity, text, known, offset, length))
    return clips, skipped


def _read(path: Path, *, empty: bool = False) -> dict[str, tuple[int, str]]:
    """Line number and value by name. A name alone has an empty value where that is allowed."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in read_lines(path):
        name, *rest = line.split(maxsplit=1)
        value = " ".join(rest[0].split()) if rest else ""
        if not value and not empty:
            raise UserError(at(path, number, f"{name} has no value; each line is a name and what it stands for"))
        if name in found:
            raise UserError(at(path, number, f"{name} is already on line {found[name][0]}"))
        found[name] = (number, value)
    return found


def _path(table: Path, number: int, value: str, root: Path) -> Path:
    if value.endswith("|") or value.startswith("|"):
        problem = "a command is not executed; run it yourself once and name the WAV file it makes"
        raise UserError(at(table, number, f"{value[:60]!r}: {problem}"))
    if value == "-" or re.search(r"\.ark:\d+$", value) or "\0" in value:
        raise UserError(at(table, number, f"{value[:60]!r}: is no audio file; write WAV or FLAC files and name them"))
    return root / value  # an absolute path replaces the root


def _segments(path: Path) -> dict[str, tuple[str, float, float | None]]:
    found = {}
    for utterance, (number, value) in _read(path).items():
        try:
            recording, first, last = value.split()
            start, end = float(first), float(last)
        except ValueError as error:
            problem = f"{utterance}: write utterance, recording, start and end in seconds"
            raise UserError(at(path, number, problem)) from error
        if not (math.isfinite(start) and math.isfinite(end) and start >= 0 and (end > start or end == -1)):
            raise UserError(at(path, number, f"{utterance}: from {first} to {last} s is no stretch of time"))
        found[utterance] = (recording, start, None if end == -1 else round(end - start, 6))
    return found


def _maps(folder: Path) -> dict[str, dict[str, Any]]:
    """Field to utterance to value."""
    spoken = folder / "utt2spk"
    speakers = {u: value for u, (_, value) in _read(spoken).items()} if spoken.is_file() else {}
    # An utterance that is its own speaker is Kaldi's way to say that nobody knows.
    maps: dict[str, dict[str, Any]] = {"speaker": {u: value for u, value in speakers.items() if value != u}}
    for path in sorted(folder.glob("spk2*")):
        if path.name != "spk2utt" and path.is_file():
            name = path.name.removeprefix("spk2")
            values = {speaker: _value(name, value) for speaker, (_, value) in _read(path).items()}
            maps[name] = {u: values[speaker] for u, speaker in speakers.items() if speaker in values}
    for path in sorted(folder.glob("utt2*")):
        if path.name not in MAPS_OF_KALDI and path.is_file():
            name = _CALLED.get(path.name.removeprefix("utt2"), path.name.removeprefix("utt2"))
            maps[name] = {u: _value(name, value) for u, (_, value) in _read(path).items()}
    return maps


def _value(name: str, text: str) -> Any:
    """Text for fields that are text; elsewhere numbers and other JSON as what they are."""
    if name in STRINGS or name == "id":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
