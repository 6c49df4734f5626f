"""SLURP: requests to a home assistant in 18 scenarios, recorded near and far, and a synthetic companion.

The texts (``train.jsonl`` …) list the recordings of each sentence with what a recogniser made of them: its WER and a
status. The audio is published apart, as ``slurp_real.tar.gz`` and ``slurp_synth.tar.gz``. Who speaks is told by
``metadata.json`` alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.lines import read_jsonl
from syn2real.progress import say
from syn2real.sealing import require_absent
from syn2real.speech.corpora.archives import extract
from syn2real.speech.corpora.fetching import digest, download, fetch_file, sum_of
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, import_clips, plain_name
from syn2real.speech.corpora.selection import Sieve, one_of, split_name, splits_of
from syn2real.speech.corpora.zenodo import record_file

RECORD = "https://zenodo.org/api/records/4274930"  # of the audio
TEXTS = "https://raw.githubusercontent.com/pswietojanski/slurp/master/dataset/slurp"
LICENCE = "CC-BY-NC-4.0"  # of the audio; the text is CC BY 4.0
METADATA = "metadata.json"
CHANNELS = ("headset", "far")


@dataclass(frozen=True)
class Subset:
    """The recorded or the synthetic half: the folder of its audio, and its texts."""

    folder: str
    texts: tuple[str, ...]


SUBSETS = {
    "real": Subset("slurp_real", ("train", "devel", "test")),
    "synth": Subset("slurp_synth", ("train_synthetic",)),
}


@IMPORTERS.register("slurp")
def import_slurp(
    output: Path,
    source: Path | None = None,
    folder: Path | None = None,
    audio_root: Path | None = None,
    subset: str = "real",
    split: list[str] | None = None,
    licence: str = LICENCE,
    *,
    channel: str | None = None,
    max_wer: float | None = None,
    status: str | None = None,
    metadata: Path | None = None,
    record: str = RECORD,
    texts: str = TEXTS,
    checksum: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import SLURP from ``source``, or fetch it into ``folder`` first.

    ``source`` holds the ``.jsonl`` files (or ``dataset/slurp`` with them) and the audio: the folder ``slurp_real`` (or
    ``audio/slurp_real``), or the archive as it was published, which is unpacked beside itself. ``audio_root`` is where
    the audio lies apart. ``channel`` (``headset`` or ``far``), ``max_wer`` (the stored WER at most) and ``status``
    (the stored one) select; recordings that the texts list and the folder has not are counted as left out.
    """
    require_absent(output, overwrite=overwrite)  # before a long download
    half = SUBSETS[one_of(subset, tuple(SUBSETS), "subset")]
    if channel is not None:
        one_of(channel, CHANNELS, "channel")
    if (source is None) == (folder is None):
        raise UserError("importing slurp needs either --from, where it lies, or --download, where it shall be put")
    if folder is not None:
        fetch(folder, half, record, texts, checksum)
    place = source or folder
    assert place is not None
    tables = _tables(place, half)
    chosen = splits_of(split, list(tables), lambda name: split_name(name.split("_")[0]))
    recordings = _audio(audio_root or place, half, checksum)
    speakers = _speakers(metadata, next(iter(tables.values())).parent)
    sieve = Sieve()
    there = {path.name for path in recordings.iterdir()}
    clips = [
        clip
        for name in chosen
        for clip in _clips(tables[name], recordings, speakers, licence, subset)
        if not (
            sieve.rejects(f"channel is not {channel}", channel not in (None, clip.fields["extra"]["channel"]))
            or sieve.rejects(f"status is not {status}", status not in (None, clip.fields["extra"].get("stored_status")))
            or sieve.rejects(f"stored WER above {max_wer} or unknown", not _within(clip, max_wer))
            or sieve.rejects(f"recording not in {recordings.name}", clip.item not in there)
        )
    ]
    settings = {"kind": "slurp", "subset": subset, "split": split, "channel": channel, "max_wer": max_wer}
    settings |= {"status": status, "speakers_known": bool(speakers)}
    options: dict[str, Any] = {"limit": limit, "seed": seed, "overwrite": overwrite}
    return import_clips(output, clips, origin=settings, filtered=sieve.left_out, **options)


def fetch(folder: Path, half: Subset, record: str = RECORD, texts: str = TEXTS, checksum: str | None = None) -> None:
    """Fetch the texts and the archive of one half into ``folder``; what is there is kept.

    The archive's address and MD5 are read from Zenodo's record; ``checksum`` takes the place of the latter. Raises
    `UserError` when something cannot be had; the same call goes on where it was.
    """
    for name in (*(f"{text}.jsonl" for text in half.texts), METADATA):
        if not (folder / name).is_file():
            fetch_file(f"{texts.rstrip('/')}/{name}", folder / name)
    archive = folder / f"{half.folder}.tar.gz"
    if not archive.is_file() and not (folder / half.folder).is_dir():
        found = record_file(record, archive.name)
        download(found.url, archive, checksum or found.checksum, found.size)


def _tables(place: Path, half: Subset) -> dict[str, Path]:
    """Split, by SLURP's name, to its file."""
    if not place.is_dir():
        raise UserError(f"{place}: no such folder; give the one with SLURP's .jsonl files and its audio")
    for folder in (place, place / "dataset" / "slurp", place / "slurp"):
        found = {name: folder / f"{name}.jsonl" for name in half.texts if (folder / f"{name}.jsonl").is_file()}
        if found:
            return found
    wanted = ", ".join(f"{name}.jsonl" for name in half.texts)
    raise UserError(f"{place}: none of {wanted}, here or in dataset/slurp; they come with SLURP's repository")


def _audio(place: Path, half: Subset, checksum: str | None) -> Path:
    """The folder with the FLAC files, unpacked now when there is only the archive."""
    if place.name == half.folder and place.is_dir():
        return place
    for folder in (place, place / "audio"):
        if (folder / half.folder).is_dir():
            return folder / half.folder
    for folder in (place, place / "audio"):
        archive = folder / f"{half.folder}.tar.gz"
        if archive.is_file():
            if checksum is not None and digest(archive, sum_of(checksum)) != sum_of(checksum):
                raise UserError(f"{archive}: has another sum than --checksum; fetch it again")
            extract(archive, folder / half.folder, lambda name: name.suffix == ".flac")
            return folder / half.folder
    raise UserError(
        f"{place}: no {half.folder} or {half.folder}.tar.gz, here or in audio; "
        "name the audio's folder with --audio-root, or let --download fetch it"
    )


def _speakers(given: Path | None, beside: Path) -> dict[str, str]:
    """File to speaker; nothing, saying so, without ``metadata.json``."""
    path = given or beside / METADATA
    if given is None and not path.is_file():
        say(f"speakers are unknown, as {path} is missing: intervals by speaker and speaker-disjoint splits need it")
        return {}
    try:
        sentences = json.loads(path.read_text(encoding="utf-8"))
        return {
            file: str(known["usrid"])
            for sentence in sentences.values()
            for file, known in sentence["recordings"].items()
            if known.get("usrid") is not None
        }
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give SLURP's metadata.json") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = "is not SLURP's metadata.json, in which each sentence has 'recordings' with a 'usrid'"
        raise UserError(f"{path}: {problem}") from error


def _clips(table: Path, folder: Path, speakers: dict[str, str], licence: str, subset: str) -> Iterator[Clip]:
    split = split_name(table.stem.split("_")[0])
    for number, row in read_jsonl(table):
        text = row.get("sentence")
        recordings = row.get("recordings")
        if not isinstance(text, str) or not text.strip() or not isinstance(recordings, list):
            raise UserError(at(table, number, "not a line of SLURP: it needs a 'sentence' and 'recordings'"))
        shared = {"slurp_id": row.get("slurp_id"), "intent": row.get("intent"), "split": split}
        for recording in recordings:
            file = recording.get("file") if isinstance(recording, dict) else None
            if not isinstance(file, str) or not plain_name(file):
                raise UserError(at(table, number, f"{json.dumps(file)} is not the name of a recording"))
            stem = Path(file).stem
            extra = shared | {"channel": "headset" if stem.endswith("-headset") else "far"}
            extra |= {"stored_wer": recording.get("wer"), "stored_status": recording.get("status")}
            fields = {
                "domain": row.get("scenario"),
                "speaker": speakers.get(file),
                "source": "synthetic" if subset == "synth" else "real",
                "licence": licence,
                "language": "en",
                "extra": {name: value for name, value in extra.items() if value is not None},
            }
            yield Clip(file, folder / file, stem, " ".join(text.split()), fields)


def _within(clip: Clip, max_wer: float | None) -> bool:
    stored = clip.fields["extra"].get("stored_wer")
    return max_wer is None or (isinstance(stored, int | float) and stored <= max_wer)
