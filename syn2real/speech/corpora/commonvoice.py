"""Common Voice: a language's folder with ``clips/`` and one TSV file a split, as its releases are packed."""

from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, import_clips, plain_name
from syn2real.speech.corpora.selection import Sieve, split_name, splits_of
from syn2real.speech.tables import read_table

LICENCE = "CC0-1.0"
SPLITS = ("train", "dev", "test")  # whose clips differ; the others hold them once more
_KEPT = ("age", "gender", "accents", "accent", "variant")


@IMPORTERS.register("commonvoice")
def import_commonvoice(
    output: Path,
    source: Path,
    split: list[str] | None = None,
    language: str | None = None,
    licence: str = LICENCE,
    *,
    min_votes: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import the clips that ``train.tsv``, ``dev.tsv`` and ``test.tsv`` list, or those of ``split``.

    ``split`` may name any other table, as ``validated``; no clip is taken twice. ``min_votes`` is the least excess of
    up-votes over down-votes. The sentence's domain, where a release tells it, becomes the domain. Raises `UserError`
    naming file and line for a clip whose name leads elsewhere.
    """
    tables = {path.stem: path for path in sorted(source.glob("*.tsv"))}
    if not tables or not (source / "clips").is_dir():
        raise UserError(f"{source}: no clips folder beside *.tsv; give a language's folder, as cv-corpus-17.0/es")
    chosen = splits_of(split or [name for name in SPLITS if name in tables], list(tables))
    sieve = Sieve()
    clips: list[Clip] = []
    taken: set[str] = set()
    for name in sorted(chosen, key=lambda name: (*SPLITS, name).index(name)):
        for number, row in read_table(tables[name], "client_id", "path", "sentence"):
            file, text = row["path"].strip(), " ".join(row["sentence"].split())
            file = file if Path(file).suffix else f"{file}.mp3"
            if not plain_name(file):
                raise UserError(at(tables[name], number, f"{file!r} is not the name of a file in clips"))
            few = min_votes is not None and _votes(row) < min_votes
            known = file in taken
            taken.add(file)
            if not (
                sieve.rejects("in an earlier table", known)
                or sieve.rejects("no transcript", not text)
                or sieve.rejects(f"votes under {min_votes}", few)
            ):
                clips.append(_clip(source / "clips" / file, text, name, row, language, licence))
    settings = {"kind": "commonvoice", "split": split, "min_votes": min_votes}
    options: dict[str, Any] = {"limit": limit, "seed": seed, "overwrite": overwrite}
    return import_clips(output, clips, origin=settings, filtered=sieve.left_out, **options)


def _clip(path: Path, text: str, table: str, row: dict[str, str], language: str | None, licence: str) -> Clip:
    extra: dict[str, Any] = {"split": split_name(table)} | {name: row[name] for name in _KEPT if row.get(name)}
    fields = {
        "speaker": row["client_id"] or None,
        "domain": row.get("sentence_domain") or None,
        "language": language or row.get("locale") or path.parents[1].name,
        "licence": licence,
        "extra": extra,
    }
    return Clip(path.name, path, path.stem, text, fields)


def _votes(row: dict[str, str]) -> int:
    up, down = (row.get(name, "") for name in ("up_votes", "down_votes"))
    return (int(up) if up.isdigit() else 0) - (int(down) if down.isdigit() else 0)
