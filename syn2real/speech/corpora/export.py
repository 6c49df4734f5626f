"""A corpus in the forms other tools read: NeMo's manifest, Parquet for ``datasets``, a Kaldi directory, WebDataset.

Each is whole or absent and holds its own copy of the audio. All but WebDataset's come back through an importer:
``manifest``, ``hf``, ``kaldi``.
"""

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from syn2real.errors import NotInstalled, UserError
from syn2real.lines import write_jsonl
from syn2real.progress import track
from syn2real.registry import Registry
from syn2real.sealing import sealed_directory, write_text
from syn2real.speech import audio
from syn2real.speech.augmentation.manifest import FIELD as AUGMENTATION
from syn2real.speech.corpora.importing import STRINGS, distinct, safe
from syn2real.speech.corpora.kaldi import MAPS_OF_KALDI
from syn2real.speech.corpora.selection import split_name
from syn2real.speech.corpus import MANIFEST, Corpus, Utterance

EXPORTERS: Registry[Callable[[Corpus, Path, Path], None]] = Registry("export format")
SHARD = 5_000  # recordings a Parquet file or tar
_ROWS = 100  # recordings in memory at a time
_CALLED = {"dev": "validation"}  # as the datasets library has it
_TEXT = STRINGS | {"id", "text"}


def export(corpus: Corpus, output: Path, form: str, *, overwrite: bool = False) -> None:
    """Write ``corpus`` to the directory ``output`` as ``nemo``, ``hf``, ``kaldi`` or ``webdataset``.

    Raises `UserError` when the form is unknown, ``output`` is there, or recordings are to be changed as they are read,
    which no other tool would do; `AudioError` for a recording that cannot be read.
    """
    write = EXPORTERS.get(form)
    changed = next((utterance.id for utterance in corpus if AUGMENTATION in utterance.extra), None)
    if changed is not None:
        raise UserError(f"{changed}: is augmented as it is read; write its audio first: syn2real augment --materialise")
    with sealed_directory(output, overwrite=overwrite) as partial:
        write(corpus, partial, output)


@EXPORTERS.register("nemo")
def to_nemo(corpus: Corpus, folder: Path, final: Path) -> None:
    """``manifest.jsonl`` beside ``audio/``, every field a column; NeMo finds relative paths from the manifest."""
    taken: set[str] = set()
    rows = []
    (folder / "audio").mkdir()
    for utterance in track(corpus, "exporting"):
        name = f"audio/{safe(distinct(utterance.id, taken))}{utterance.audio_filepath.suffix}"
        shutil.copyfile(utterance.audio_filepath, folder / name)
        rows.append({"audio_filepath": name} | _row(utterance))
    write_jsonl(folder / MANIFEST, rows)


@EXPORTERS.register("hf")
def to_huggingface(corpus: Corpus, folder: Path, final: Path) -> None:
    """Parquet as on the hub: ``data/SPLIT-00000-of-00001.parquet`` with the recordings' bytes in a column ``audio``.

    ``datasets.load_dataset`` reads it, given the folder, by split (``train``, ``validation``, ``test``; without the
    field ``split`` all are ``train``). Values of mixed kinds, and mappings, are written as JSON text.
    """
    try:
        import pyarrow.parquet
        from datasets import Audio, Features
    except ImportError as error:
        raise NotInstalled("the datasets library", "hf") from error
    rows = [{name: value for name, value in _row(u).items() if name != "duration"} for u in corpus]
    columns = _columns(rows)
    if "audio" in columns:
        raise UserError("a field is called 'audio', as the column of the recordings is; rename it in the manifest")
    schema = Features({"audio": Audio(), **Features.from_arrow_schema(pyarrow.schema(columns))}).arrow_schema
    (folder / "data").mkdir()
    for name, places in _splits(corpus).items():
        shards = [places[start : start + SHARD] for start in range(0, len(places), SHARD)]
        for number, shard in enumerate(shards):
            target = folder / "data" / f"{name}-{number:05d}-of-{len(shards):05d}.parquet"
            with pyarrow.parquet.ParquetWriter(target, schema) as writer:
                batch: list[dict[str, Any]] = []
                for place in track(shard, f"exporting {target.stem}"):
                    batch.append(_cells(corpus[place], rows[place], columns))
                    if len(batch) == _ROWS or place == shard[-1]:
                        writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
                        batch = []


def _splits(corpus: Corpus) -> dict[str, list[int]]:
    """Places in the corpus by split, as the hub names them."""
    splits: dict[str, list[int]] = {}
    for place, utterance in enumerate(corpus):
        name = split_name(str(utterance.extra.get("split") or "train"))
        splits.setdefault(re.sub(r"\W+", "_", _CALLED.get(name, name)), []).append(place)
    return splits


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Column to Arrow type: what all its values are, if that is plain or a list, else text."""
    import pyarrow
    from pyarrow import types

    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        try:
            kind = pyarrow.array(values).type  # `infer_type` overlooks kinds that do not mix
        except pyarrow.lib.ArrowException:
            kind = pyarrow.string()
        one = kind.value_type if types.is_list(kind) else kind
        plain = any(test(one) for test in (types.is_string, types.is_boolean, types.is_integer, types.is_floating))
        columns[name] = kind if plain else pyarrow.string()
    return columns


def _cells(utterance: Utterance, row: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    path = utterance.audio_filepath
    cells: dict[str, Any] = {"audio": {"bytes": path.read_bytes(), "path": path.name}}
    for name, kind in columns.items():
        value = row.get(name)
        text = value is not None and str(kind) == "string" and not isinstance(value, str)
        cells[name] = json.dumps(value, ensure_ascii=False) if text else value
    return cells


@EXPORTERS.register("kaldi")
def to_kaldi(corpus: Corpus, folder: Path, final: Path) -> None:
    """``wav.scp``, ``text``, ``utt2spk``, ``spk2utt``, ``utt2dur`` and an ``utt2NAME`` for every further field.

    Utterances are named speaker first and sorted, as Kaldi demands; ``utt2id`` keeps their own names. The audio is
    16-bit WAV, its paths absolute, as Kaldi runs elsewhere: export again after moving the directory.
    """
    speaker_of = _kaldi_speakers(corpus)
    import soundfile

    taken: set[str] = set()
    maps: dict[str, dict[str, str]] = {name: {} for name in ("wav.scp", "text", "utt2spk", "utt2dur")}
    (folder / "wav").mkdir()
    for utterance in track(corpus, "exporting"):
        speaker = speaker_of[utterance.speaker or utterance.id]
        own = safe(utterance.id)
        name = safe(distinct(own if own.startswith(f"{speaker}-") else f"{speaker}-{own}", taken))
        samples = audio.read(utterance.audio_filepath)
        soundfile.write(str(folder / "wav" / f"{name}.wav"), samples, audio.SAMPLE_RATE, subtype="PCM_16")
        maps["wav.scp"][name] = str(final.absolute() / "wav" / f"{name}.wav")
        maps["text"][name] = utterance.text
        maps["utt2spk"][name] = speaker
        maps["utt2dur"][name] = f"{utterance.duration:.4f}".rstrip("0").rstrip(".")
        for field, value in _row(utterance).items():
            text = " ".join(value.split()) if field in _TEXT else _as_text(value)
            if text and field not in ("text", "duration"):
                maps.setdefault(_map_of(field), {})[name] = text
    speakers: dict[str, list[str]] = {}
    for name, speaker in sorted(maps["utt2spk"].items()):
        speakers.setdefault(speaker, []).append(name)
    maps["spk2utt"] = {speaker: " ".join(names) for speaker, names in speakers.items()}
    for table, values in maps.items():
        write_text(folder / table, "".join(f"{name} {value}\n" for name, value in sorted(values.items())))


def _kaldi_speakers(corpus: Corpus) -> dict[str, str]:
    """Names of speakers such that utterances called SPEAKER-… sort as their speakers do, whatever follows: no name goes
    on with the dash, the first of the characters in them, where another ends."""

    def named(spelt: Callable[[str], str]) -> dict[str, str]:
        taken: set[str] = set()
        given = dict.fromkeys(utterance.speaker or utterance.id for utterance in corpus)
        return {name: spelt(distinct(name, taken, lambda name: spelt(name).casefold())) for name in given}

    names = named(safe)
    if any(after.startswith(f"{before}-") for before, after in pairwise(sorted(names.values()))):
        names = named(lambda name: safe(name).replace("-", "_"))
    return names


@EXPORTERS.register("webdataset")
def to_webdataset(corpus: Corpus, folder: Path, final: Path) -> None:
    """Tars of up to 5,000 recordings, ``SPLIT-000000.tar``: each recording as it is and its fields as ``.json``, under
    one key. ``index.json`` lists the tars with how many recordings, which split and how many bytes each has.

    The same corpus gives the same bytes: members have no times and no owners.
    """
    taken: set[str] = set()
    index = []
    for split, places in _splits(corpus).items():
        for number, start in enumerate(range(0, len(places), SHARD)):
            target = folder / f"{split}-{number:06d}.tar"
            shard = places[start : start + SHARD]
            with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
                for place in track(shard, f"exporting {target.stem}"):
                    utterance = corpus[place]
                    # A key ends at its first dot.
                    key = distinct(safe(utterance.id).replace(".", "_"), taken)
                    _add(tar, f"{key}{utterance.audio_filepath.suffix.lower()}", utterance.audio_filepath.read_bytes())
                    _add(tar, f"{key}.json", json.dumps(_row(utterance), ensure_ascii=False).encode())
            index.append(
                {"file": target.name, "split": split, "utterances": len(shard), "bytes": target.stat().st_size}
            )
    write_text(folder / "index.json", json.dumps({"utterances": len(corpus), "tars": index}, indent=2) + "\n")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # of the year 1970, and of nobody
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


def _map_of(field: str) -> str:
    """The file that maps utterances to this field. Raises `UserError` for a field that cannot name one."""
    name = f"utt2{'lang' if field == 'language' else field}"
    if not re.fullmatch(r"\w+", field) or name in MAPS_OF_KALDI:
        raise UserError(f"field {field!r} cannot become a file {name} of a Kaldi directory; rename it in the manifest")
    return name


def _row(utterance: Utterance) -> dict[str, Any]:
    """All fields that are known but the audio's place."""
    (row,) = Corpus.of([utterance]).rows(utterance.audio_filepath.parent)
    return {name: value for name, value in row.items() if name != "audio_filepath" and value is not None}


def _as_text(value: Any) -> str:
    """``value`` as one line that `json.loads` brings back; plain text where it cannot be taken for anything else."""
    if isinstance(value, str) and value == " ".join(value.split()):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)
