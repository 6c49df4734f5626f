"""Tux Paint's spoken stamps: volunteers name pictures of animals, food, vehicles … in a dozen languages.

``NAME_desc_LANG.ogg`` says what the line ``LANG.utf8=`` of ``NAME.txt`` reads; in English ``NAME_desc.ogg`` says
the first line. The first folder is a true domain. What the data needs: about one recording in seven is a copy of
another (the letter m in four typefaces), and would otherwise sit in training and test at once; and some were cut
short, or were recorded before the text grew, so that the text cannot have been spoken in their time.
"""

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from syn2real.cache import cache_directory
from syn2real.errors import UserError, did_you_mean
from syn2real.progress import say, track
from syn2real.sealing import require_absent
from syn2real.speech.corpora.archives import members
from syn2real.speech.corpora.debian import fetch_package
from syn2real.speech.corpora.fetching import cached, download
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, import_clips, safe

LICENCE = "GPL-2.0"
PACKAGE = "tuxpaint-stamps-default"  # Debian's and Ubuntu's name
VERSION = "2022.06.04-1"  # what results are comparable on
DEB_SHA256 = {VERSION: "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"}
UPSTREAM = (
    "https://downloads.sourceforge.net/project/tuxpaint/tuxpaint-stamps/2022-06-04/tuxpaint-stamps-2022.06.04.tar.gz"
)
UPSTREAM_SHA256 = "842065576fae554358e00e51d71a492616a6490b12b592228067477c287a0bf8"
_RECORDING = re.compile(r"(.+)_desc(?:_([A-Za-z_@]+))?\.ogg")
DENSEST = 30.0  # characters per second; the volunteers speak 10 to 17, and what is above 30 was cut or reworded


@IMPORTERS.register("tuxpaint")
def import_tuxpaint(
    output: Path,
    language: str,
    source: Path | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import the stamps spoken in ``language`` (``es``, ``fr``, ``en`` …) from ``source``, fetched when not given.

    Left out and reported: recordings without a transcript, copies of another, those silent, damaged or over 30 s,
    and those whose text cannot be spoken in their time. Raises `UserError` for a language nobody recorded.
    """
    require_absent(output, overwrite=overwrite)  # before a long download
    source = source or fetch()
    with tempfile.TemporaryDirectory(prefix="syn2real-stamps-") as place:
        stamps = _unpack(source, language, Path(place))
        clips, skipped = _pair(stamps, language)
        return import_clips(
            output,
            clips,
            origin={"kind": "tuxpaint", "language": language},
            skipped=skipped,
            limit=limit,
            seed=seed,
            densest=DENSEST,
            overwrite=overwrite,
        )


def fetch() -> Path:
    """The package in the cache: fetched with ``apt-get download`` where that exists, else upstream's tarball.

    Needs no root. Raises `UserError` when neither can be had.
    """
    return cached(cache_directory() / "tuxpaint", _obtain)


def _obtain(folder: Path) -> Path:
    try:
        return fetch_package(PACKAGE, folder, VERSION, DEB_SHA256)
    except UserError as error:
        apt = error
        say(f"{apt}; trying upstream's tarball")
    try:
        return download(UPSTREAM, folder / UPSTREAM.rsplit("/", 1)[-1], UPSTREAM_SHA256)
    except UserError as error:
        raise UserError(f"{error}; and Debian's package: {apt}") from error


@dataclass(frozen=True)
class _Stamps:
    """What was taken from the archive, by path under ``stamps/`` without suffixes."""

    recordings: dict[PurePosixPath, Path]
    texts: dict[PurePosixPath, bytes]


def _unpack(source: Path, language: str, place: Path) -> _Stamps:
    """Take the recordings of one language, under names of our own, and every text."""
    stamps = _Stamps({}, {})
    spoken: set[str] = set()

    def wanted(name: PurePosixPath) -> bool:
        match = _RECORDING.fullmatch(name.name)
        if match:
            spoken.add(match[2] or "en")
        return "stamps" in name.parts[:-1] and (name.suffix == ".txt" or bool(match and (match[2] or "en") == language))

    for name, contents in track(members(source, wanted), f"reading {source.name}"):
        stamp = PurePosixPath(*name.parts[name.parts.index("stamps") + 1 :])
        if match := _RECORDING.fullmatch(stamp.name):
            copy = place / f"{len(stamps.recordings)}.ogg"
            copy.write_bytes(contents)
            os.utime(copy, (0, 0))  # unpacked anew by every run, and the same recording all the same
            stamps.recordings[stamp.with_name(match[1])] = copy
        else:
            stamps.texts[stamp.with_suffix("")] = contents
    if not stamps.recordings:
        raise UserError(f"{source}: nobody recorded {language!r}{did_you_mean(language, spoken)}")
    return stamps


def _pair(stamps: _Stamps, language: str) -> tuple[list[Clip], list[tuple[str, str]]]:
    """Recordings with their texts, sorted by name, and what has to be left out."""
    clips, skipped = [], []
    first: dict[str, str] = {}
    fields = {"speaker": f"tuxpaint-{language}", "licence": LICENCE, "language": re.split("[_@]", language)[0]}
    for stamp, path in sorted(stamps.recordings.items()):
        item = f"{stamp}_desc.ogg" if language == "en" else f"{stamp}_desc_{language}.ogg"
        text = _transcript(stamps.texts.get(stamp), language)
        if not text:
            why = f"{stamp.name}.txt has no line {language}.utf8=" if stamp in stamps.texts else "no text beside it"
            skipped.append((item, f"no transcript ({why})"))
            continue
        sound = hashlib.sha256(path.read_bytes()).hexdigest()
        if sound in first:
            skipped.append((item, f"the same recording as {first[sound]}"))
            continue
        first[sound] = item
        domain = stamp.parts[0] if len(stamp.parts) > 1 else None
        clips.append(Clip(item, path, safe(item.removesuffix(".ogg")), text, fields | {"domain": domain}))
    return clips, skipped


def _transcript(content: bytes | None, language: str) -> str:
    if content is None:
        return ""
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    if language == "en":
        chosen = lines[:1]
    else:
        chosen = [line.split("=", 1)[1] for line in lines if line.startswith(f"{language}.utf8=")][:1]
    return " ".join("".join(chosen).split())
