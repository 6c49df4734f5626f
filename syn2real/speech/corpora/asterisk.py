"""Asterisk's telephone prompts in English: one professional voice, 8 kHz, from two Debian packages.

The recordings are in ``asterisk-core-sounds-en-wav``, what they say is in ``asterisk-core-sounds-en``. Tones and
silences, described in brackets, are left out; so are notes in brackets after the words.
"""

import gzip
import re
from pathlib import Path, PurePosixPath
from typing import Any

from syn2real.cache import cache_directory
from syn2real.errors import UserError
from syn2real.sealing import require_absent
from syn2real.speech.corpora.archives import members
from syn2real.speech.corpora.debian import fetch_package
from syn2real.speech.corpora.fetching import cached
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, import_clips, safe

LICENCE = "CC-BY-SA-3.0"
SPEAKER = "asterisk-allison"
VERSION = "1.6.1-1"
SOUNDS, TEXTS = "asterisk-core-sounds-en-wav", "asterisk-core-sounds-en"
_TABLE = re.compile(r"core-sounds-en\.txt(\.gz)?")
_LINE = re.compile(r"([\w./-]+):\s*(.*)")
_NOTE = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")


@IMPORTERS.register("asterisk")
def import_asterisk(
    output: Path,
    source: Path | None = None,
    licence: str = LICENCE,
    *,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import the prompts from the two packages in the folder ``source``, fetched when not given.

    The part of a prompt's name before the first hyphen, or its folder, becomes the domain: ``conf``, ``vm``,
    ``digits`` … Raises `UserError` when a package or the table of transcripts is missing.
    """
    require_absent(output, overwrite=overwrite)
    sounds, texts = _packages(source)
    table = [contents for _, contents in members(texts, lambda name: bool(_TABLE.fullmatch(name.name)))]
    if not table:
        raise UserError(f"{texts}: holds no core-sounds-en.txt.gz, in which the transcripts are")
    spoken = _transcripts(table[0], texts)
    known = {"speaker": SPEAKER, "licence": licence, "language": "en"}
    clips, skipped = [], []
    for prompt, recording in sorted(_recordings(sounds).items()):
        text = spoken.get(prompt)
        if text is None or not text:
            skipped.append((prompt, "no transcript" if text is None else "is no speech"))
            continue
        path = Path(f"{prompt}.wav")
        domain = prompt.split("/")[0] if "/" in prompt else prompt.split("-")[0]
        fields = known | {"domain": domain}
        clips.append(Clip(prompt, path, safe(prompt), text, fields, content=lambda sound=recording: sound))  # type: ignore[misc]
    options: dict[str, Any] = {"limit": limit, "seed": seed, "overwrite": overwrite}
    return import_clips(output, clips, origin={"kind": "asterisk"}, skipped=skipped, **options)


def _packages(source: Path | None) -> tuple[Path, Path]:
    if source is None:
        place = cache_directory() / "asterisk"
        sounds, texts = (
            cached(place / name, lambda folder, name=name: fetch_package(name, folder, VERSION, {}))  # type: ignore[misc]
            for name in (SOUNDS, TEXTS)
        )
        return sounds, texts
    found = []
    for name in (SOUNDS, TEXTS):
        packages = sorted(source.glob(f"{name}_*.deb"))
        if not packages:
            raise UserError(f"{source}: no {name}_*.deb; `apt-get download {name}` fetches it")
        found.append(packages[-1])
    return found[0], found[1]


def _recordings(package: Path) -> dict[str, bytes]:
    """Prompt, as ``digits/4``, to its WAV: 18 MB in all."""

    def wanted(name: PurePosixPath) -> bool:
        return "sounds" in name.parts and name.suffix == ".wav"

    found = {}
    for name, contents in members(package, wanted):
        inside = name.parts[name.parts.index("sounds") + 2 :]  # after the voice's folder
        found[str(PurePosixPath(*inside).with_suffix(""))] = contents
    if not found:
        raise UserError(f"{package}: holds no recordings under sounds; give the -wav package")
    return found


def _transcripts(table: bytes, package: Path) -> dict[str, str]:
    """Prompt to words; empty where it is no speech."""
    try:
        lines = (gzip.decompress(table) if table[:2] == b"\x1f\x8b" else table).decode("utf-8-sig").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{package}: its core-sounds-en.txt is damaged; fetch it again") from error
    rows = (match for line in lines if not line.startswith(";") and (match := _LINE.fullmatch(line.strip())))
    return {row[1]: " ".join(_NOTE.sub(" ", row[2]).split()) for row in rows}
