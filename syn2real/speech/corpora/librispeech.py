"""LibriSpeech's layout: ``SUBSET/SPEAKER/CHAPTER/`` with FLAC files and one ``SPEAKER-CHAPTER.trans.txt``.

The transcripts are in capitals (``--lower``).
"""

from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.lines import read_lines
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, import_clips, plain_name
from syn2real.speech.corpora.selection import split_name, splits_of

LICENCE = "CC-BY-4.0"


@IMPORTERS.register("librispeech")
def import_librispeech(
    output: Path,
    source: Path,
    split: list[str] | None = None,
    language: str = "en",
    licence: str = LICENCE,
    *,
    lower: bool = False,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import the subsets (``train-clean-100``, ``dev-other`` …) found in ``source``, or those of ``split``.

    ``split`` may also say ``train``, ``dev`` or ``test`` for all of the kind. ``SPEAKERS.TXT`` gives the speakers'
    sex where it is there. Raises `UserError` with file and line for a transcript that is no id and text.
    """
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; give the one that holds train-clean-100, dev-clean …")
    if (source / "LibriSpeech").is_dir():
        source = source / "LibriSpeech"
    there = sorted({path.parents[2] for path in source.glob("*/*/*/*.trans.txt")})
    if not there:
        raise UserError(f"{source}: no SUBSET/SPEAKER/CHAPTER/*.trans.txt; give the folder that holds the subsets")
    chosen = splits_of(split, [folder.name for folder in there], _kind)
    genders = _genders(source / "SPEAKERS.TXT")
    clips = [
        clip
        for folder in there
        if folder.name in chosen
        for table in sorted(folder.glob("*/*/*.trans.txt"))
        for clip in _chapter(table, _kind(folder.name), genders, lower)
    ]
    known = {"language": language, "licence": licence}
    clips = [Clip(c.item, c.path, c.id, c.text, c.fields | known) for c in clips]
    settings = {"kind": "librispeech", "split": split, "lower": lower}
    options: dict[str, Any] = {"limit": limit, "seed": seed, "overwrite": overwrite}
    return import_clips(output, clips, origin=settings, **options)


def _kind(subset: str) -> str:
    """``train`` of ``train-clean-100``."""
    return split_name(subset.split("-")[0])


def _chapter(table: Path, split: str, genders: dict[str, str], lower: bool) -> list[Clip]:
    speaker, subset = table.parent.parent.name, table.parents[2].name
    extra = {"split": split, "subset": subset, "chapter": table.parent.name}
    extra |= {"gender": genders[speaker]} if speaker in genders else {}
    clips = []
    for number, line in read_lines(table):
        name, *rest = line.split(maxsplit=1)
        if not rest or not plain_name(name):
            raise UserError(at(table, number, "each line is an utterance's id and its text"))
        path, text = table.parent / f"{name}.flac", " ".join(rest[0].split())
        item = f"{subset}/{path.name}"
        clips.append(Clip(item, path, name, text.lower() if lower else text, {"speaker": speaker, "extra": extra}))
    return clips


def _genders(path: Path) -> dict[str, str]:
    """Speaker to ``f`` or ``m``; the table is ``ID | SEX | SUBSET | MINUTES | NAME``, remarks begin with ``;``."""
    if not path.is_file():
        return {}
    rows = (line.split("|") for _, line in read_lines(path) if not line.startswith(";"))
    return {row[0].strip(): row[1].strip().lower() for row in rows if len(row) > 1}
