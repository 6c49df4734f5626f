"""A folder of recordings and a table that says what is spoken in each."""

from pathlib import Path

from syn2real.errors import UserError, at
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, import_clips
from syn2real.speech.tables import read_table


@IMPORTERS.register("folder")
def import_folder(
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
    """Import the recordings listed in a CSV or TSV file with columns ``file,text`` and perhaps ``speaker,domain``.

    Files are relative to the table, or to ``audio_root``, and may not leave that folder. Raises `UserError` naming
    file and line for a row without file or text; recordings that cannot be used are reported instead.
    """
    if not source.is_file():
        raise UserError(f"{source}: no such table; give a CSV or TSV file with the columns file,text")
    base = (audio_root or source.parent).resolve()
    clips = []
    for number, row in read_table(source, "file", "text"):
        name, text = row["file"].strip(), " ".join(row["text"].split())
        if not name or "\0" in name:
            raise UserError(at(source, number, "no file name"))
        if not text:
            raise UserError(at(source, number, f"empty text for {name}; write the transcript or drop the row"))
        path = (base / name).resolve()
        if not path.is_relative_to(base):
            raise UserError(at(source, number, f"{name} leaves {base}; name its folder with --audio-root"))
        fields = {column: row[column].strip() for column in ("speaker", "domain") if row.get(column, "").strip()}
        fields |= {key: value for key, value in (("language", language), ("licence", licence)) if value}
        clips.append(Clip(name, path, str(path.relative_to(base).with_suffix("")), text, fields))
    return import_clips(output, clips, origin={"kind": "folder"}, limit=limit, seed=seed, overwrite=overwrite)
