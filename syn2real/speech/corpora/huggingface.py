"""Datasets with an audio column: saved ones, audio folders, Parquet files, and those on the hub.

The audio column is read undecoded and decoded with soundfile, so that neither torchcodec nor ffmpeg is needed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.sealing import require_absent
from syn2real.speech.corpora.audiofolder import AudioFolder
from syn2real.speech.corpora.importing import IMPORTERS, PLACE, STRINGS, Clip, ImportReport, fields_of, import_clips
from syn2real.speech.corpora.selection import Sieve, split_name, splits_of

TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript", "normalized_text", "raw_transcription")
_CALLED = {
    "speaker_id": "speaker",
    "client_id": "speaker",
    "license": "licence",
    "locale": "language",
    "lang": "language",
}
_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves


@IMPORTERS.register("hf")
def import_huggingface(
    output: Path,
    source: Path,
    subset: str | None = None,
    split: list[str] | None = None,
    language: str | None = None,
    licence: str | None = None,
    *,
    audio_column: str | None = None,
    text_column: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import a dataset: a folder (saved dataset, audio folder, Parquet) or a hub id ``org/name``.

    ``subset`` is the dataset's configuration. Columns named as our fields become these, ``speaker_id`` and
    ``client_id`` the speaker, all others that are no audio ``extra``. Raises `UserError` where the library is
    missing, the dataset cannot be loaded, and for an unknown split or column.
    """
    require_absent(output, overwrite=overwrite)
    parts: Mapping[str, AudioFolder | _Part] = AudioFolder.find(source) or _load(source, subset, revision, audio_column)
    chosen = splits_of(split, list(parts))
    known = {name: value for name, value in (("language", language), ("licence", licence)) if value}
    sieve = Sieve()
    clips = []
    for name in chosen:
        label = {"split": split_name(name)} if len(parts) > 1 or split else {}
        text = _text_column(parts[name].columns, text_column)
        for clip in _clips(parts[name], name, text, known | label):
            if not sieve.rejects("no transcript", not clip.text):
                clips.append(clip)
    settings: dict[str, Any] = {"kind": "hf", "subset": subset, "split": split, "revision": revision}
    settings["fingerprints"] = [part.fingerprint for part in parts.values() if isinstance(part, _Part)]
    options: dict[str, Any] = {"limit": limit, "seed": seed, "overwrite": overwrite}
    return import_clips(output, clips, origin=settings, filtered=sieve.left_out, **options)


@dataclass(frozen=True)
class _Part:
    """One split of a loaded dataset, its audio undecoded."""

    dataset: Any
    audio: str  # the column

    @classmethod
    def of(cls, dataset: Any, named: str | None) -> "_Part":
        """Raises `UserError` when the audio column is missing or one of several."""
        from datasets import Audio

        columns = [name for name, feature in dataset.features.items() if isinstance(feature, Audio)]
        if named is not None and named not in columns:
            raise UserError(f"no audio column {named!r}{did_you_mean(named, columns)}")
        if named is None and len(columns) != 1:
            problem = f"several audio columns ({', '.join(columns)})" if columns else "no audio column"
            raise UserError(f"the dataset has {problem}; name one with --audio-column")
        for name in columns:
            dataset = dataset.cast_column(name, Audio(decode=False))
        chosen = named or columns[0]
        return cls(dataset.remove_columns([name for name in columns if name != chosen]), chosen)

    @property
    def columns(self) -> list[str]:
        """All columns but the audio."""
        return [name for name in self.dataset.features if name != self.audio]

    @property
    def fingerprint(self) -> str:
        """The library's hash of what was done to make it."""
        return str(self.dataset._fingerprint)

    def rows(self) -> Iterator[tuple[dict[str, Any], Path | None]]:
        """Each row without the audio, and what the recording was called; the sound is not read."""
        import pyarrow.compute

        others = self.dataset.select_columns(self.columns)
        sounds = self.dataset.select_columns([self.audio]).with_format("arrow").iter(1000)
        names = (
            name for batch in sounds for name in pyarrow.compute.struct_field(batch[self.audio], "path").to_pylist()
        )
        for row, name in zip(others, names, strict=True):
            yield row, Path(name) if name else None

    def content(self, number: int) -> Callable[[], bytes]:
        """Reads the bytes of one recording when called."""

        def read() -> bytes:
            cell = self.dataset[number][self.audio]
            if cell["bytes"] is not None:
                return bytes(cell["bytes"])
            path = Path(cell["path"] or "")
            return path.read_bytes() if path.is_file() else b""  # which is reported as unreadable

        return read


def _load(source: Path, subset: str | None, revision: str | None, audio: str | None) -> dict[str, _Part]:
    """Split to dataset."""
    try:
        import datasets
    except ImportError as error:
        raise NotInstalled("the datasets library", "hf") from error
    try:
        if any((source / name).is_file() for name in _SAVED):
            loaded = datasets.load_from_disk(str(source))
        else:
            loaded = datasets.load_dataset(str(source), subset, revision=revision)
    except Exception as error:
        # The library raises what it likes; it is always the user's dataset, connection or name that is at fault.
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{source}: cannot be loaded as a dataset ({reason[:300]})") from error
    parts = loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    return {str(name): _Part.of(part, audio) for name, part in parts.items()}


def _text_column(columns: Sequence[str], named: str | None) -> str:
    found = [name for name in ([named] if named else TEXT_COLUMNS) if name in columns]
    if not found:
        hint = did_you_mean(named, columns) if named else f"; name one of {', '.join(columns)} with --text-column"
        raise UserError(f"the dataset has no text column{f' {named!r}' if named else ''}{hint}")
    return found[0]


def _clips(part: "AudioFolder | _Part", name: str, text: str, known: Mapping[str, Any]) -> Iterator[Clip]:
    for number, (row, path) in enumerate(part.rows()):
        values = {_CALLED.get(column, column): value for column, value in row.items() if value not in (None, "")}
        spoken = " ".join(str(values.pop(_CALLED.get(text, text), "")).split())
        values = dict(_cell(column, value) for column, value in values.items() if column not in PLACE - {"id"})
        place = path or Path(f"{name}-{number:06d}")
        identity = str(values.get("id", place.stem))
        try:
            fields = fields_of({**known, **values, "audio_filepath": str(place), "text": spoken or "-"})
        except UserError as error:
            raise UserError(f"split {name}, row {number}: {error}") from error
        content = part.content(number) if isinstance(part, _Part) else None
        yield Clip(f"{name}/{number}", place, identity, spoken, fields, content=content)


def _cell(column: str, value: Any) -> tuple[str, Any]:
    """A cell as a manifest holds it; what is called like a field of ours but is something else gets another name."""
    if column == "source" and value not in ("real", "synthetic"):
        return "source_column", str(value)
    if column == "seed" and not isinstance(value, int):
        return "seed_column", str(value)
    if column in STRINGS or column == "id":
        return column, str(value)
    return column, value if isinstance(value, str | int | float | list | dict) else str(value)
