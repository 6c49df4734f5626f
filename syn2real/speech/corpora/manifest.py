"""A NeMo manifest whose audio may lie anywhere, copied into a corpus that can be moved."""

import math
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.lines import read_jsonl
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, fields_of, import_clips
from syn2real.speech.corpus import checked_fields


@IMPORTERS.register("manifest")
def import_manifest(
    output: Path,
    source: Path,
    audio_root: Path | None = None,
    language: str | None = None,
    licence: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import a JSONL manifest; paths are absolute, or relative to it or to ``audio_root``.

    Lines with an ``offset`` are cut from the longer recording (``duration`` seconds of it); all other fields are
    passed through; ``language`` and ``licence`` are noted where a line has none. Raises `UserError` naming file and
    line for a line that is no utterance; recordings that cannot be used are reported instead.
    """
    if not source.is_file():
        raise UserError(f"{source}: no such manifest")
    base = (audio_root or source.parent).resolve()
    noted = {name: value for name, value in (("language", language), ("licence", licence)) if value}
    clips: list[Clip] = []
    given: dict[str, int] = {}
    for number, row in read_jsonl(source):
        try:
            clips.append(_clip(noted | row, base))
        except UserError as error:
            raise UserError(at(source, number, str(error))) from error
        if row.get("id"):
            if clips[-1].id in given:
                raise UserError(at(source, number, f"duplicate id {row['id']!r} (first on line {given[row['id']]})"))
            given[clips[-1].id] = number
    return import_clips(output, clips, origin={"kind": "manifest"}, limit=limit, seed=seed, overwrite=overwrite)


def _clip(row: dict[str, Any], base: Path) -> Clip:
    known = checked_fields(row)
    name = known["audio_filepath"]
    path = base / name  # an absolute name replaces the base
    offset, length = 0.0, None
    if row.get("offset") is not None:
        offset, length = _seconds(row, "offset"), _seconds(row, "duration")
        if not length:
            raise UserError("field 'duration' is 0, and a segment has some")
    default = Path(name).name if Path(name).is_absolute() else name
    identity = known.get("id") or str(Path(default).with_suffix(""))
    return Clip(name, path, identity, known["text"], fields_of(row), offset, length)


def _seconds(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise UserError(f"field {name!r} must be a number of seconds where there is an 'offset', not {value!r}")
    return float(value)
