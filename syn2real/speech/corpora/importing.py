"""What every importer shares: clips in, a self-contained corpus of 16 kHz mono FLAC out, whole or not at all."""

import json
import re
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.errors import AudioError, UserError
from syn2real.hashing import sha256_json
from syn2real.progress import Bar, say
from syn2real.registry import Registry
from syn2real.sealing import partial_path, sealed_directory, write_text
from syn2real.speech import audio
from syn2real.speech.corpora.journal import Journal, forget
from syn2real.speech.corpora.selection import draw
from syn2real.speech.corpus import MANIFEST, Corpus, Utterance, checked_fields

RECORD = "import.json"  # what was imported from where and what was left out, beside the manifest
WRITERS = 8  # threads; each file is flushed to the disk, which takes longer than to make it
PLACE = frozenset({"audio_filepath", "duration", "offset", "id", "text"})  # what a `Clip` says by itself
STRINGS = frozenset({"domain", "speaker", "source", "engine", "voice", "licence", "language"})
_OURS = {f.name for f in fields(Utterance)} - {"extra"}


@dataclass(frozen=True)
class Clip:
    """A recording to import: where it lies, what it is called and what is known of it."""

    item: str  # how the source calls it, for the report
    path: Path
    id: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)  # further fields of `Utterance`
    offset: float = 0.0  # s, where in the recording the clip begins
    length: float | None = None  # s; None for all that follows
    content: Callable[[], bytes] | None = None  # the recording's bytes, where it is no file of its own


@dataclass(frozen=True)
class ImportReport:
    """The corpus that was written; each recording that could not be used, with the reason; and what rules left out."""

    corpus: Corpus
    skipped: tuple[tuple[str, str], ...]
    filtered: dict[str, int] = field(default_factory=dict)  # by rule, those the options left out

    @property
    def left_out(self) -> dict[str, int]:
        """How many were left out by which rule: the options' rules first, then what could not be used."""
        return self.filtered | dict(Counter(_kind(reason) for _, reason in self.skipped).most_common())

    def __str__(self) -> str:
        return f"{len(self.corpus)} utterances, {self.corpus.duration / 60:.1f} min; {len(self.skipped)} skipped"


IMPORTERS: Registry[Callable[..., ImportReport]] = Registry("corpus")


def import_clips(
    output: Path,
    clips: Iterable[Clip],
    *,
    origin: Mapping[str, Any],
    skipped: Iterable[tuple[str, str]] = (),
    filtered: Mapping[str, int] | None = None,
    limit: int | None = None,
    seed: int = 0,
    densest: float | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Write ``output`` with ``audio/``, ``manifest.jsonl`` and ``import.json``, one clip in memory at a time.

    ``origin`` is what the record says of the source (kind, settings). At most ``limit`` clips are drawn by ``seed``.
    A clip that is missing, damaged, silent, not a number or longer than 30 s is left out and reported, as is one
    with more than ``densest`` characters of text per second. Killed at any moment, the same call goes on where it
    was and ends in the same bytes. Raises `UserError` when ``output`` exists, the disk is full, or nothing is left.
    """
    clips = draw(clips, limit, seed)
    plan = sha256_json([dict(origin), densest, [_identity(clip) for clip in clips]])
    if partial_path(output).exists():
        say(f"{output}: an import was stopped here; going on where it was, if it is the same")
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        if not _is_whole(partial, plan):
            journal = Journal(partial, sha256_json([plan, [_changed(clip) for clip in clips]]))
            try:
                utterances, failed = _write(clips, partial, journal, densest)
            finally:
                journal.close()
            left = [*skipped, *failed]
            if not utterances:
                shutil.rmtree(partial)
                raise UserError(f"{output}: nothing to import{_why_nothing(left, filtered or {})}")
            Corpus.of(utterances).save(partial / MANIFEST)
            record = {**origin, "limit": limit, "seed": seed, "plan": plan, "utterances": len(utterances)}
            record |= {"filtered": dict(filtered or {}), "skipped": left}
            write_text(partial / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        forget(partial)
    report = _report(output)
    if all(utterance.text.isupper() for utterance in report.corpus):
        say("every transcript is in capitals, and a model tuned on them writes capitals; --lower makes them small")
    return report


def fields_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The `Clip.fields` that a manifest's row gives: those of `Utterance`, and all others as ``extra``.

    Raises `UserError` for a field of ours with a value of another type.
    """
    known = {name: value for name, value in checked_fields(dict(row)).items() if name not in PLACE}
    return known | {"extra": {name: value for name, value in row.items() if name not in _OURS | PLACE}}


def safe(name: str) -> str:
    """``name`` as one component of a path that every system accepts: letters, digits, ``_``, ``-`` and inner dots."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:150] or "clip"


def file_key(name: str) -> str:
    """What two names share that would be one file on a system that ignores case."""
    return safe(name).casefold()


def distinct(name: str, taken: set[str], key: Callable[[str], str] = file_key) -> str:
    """``name``, or ``name-2``, ``name-3`` … where its ``key`` is taken; notes the one given."""
    chosen, number = name, 2
    while key(chosen) in taken:
        chosen, number = f"{name[:140]}-{number}", number + 1
    taken.add(key(chosen))
    return chosen


def plain_name(name: str) -> bool:
    """Whether ``name`` is a file's name alone, which cannot lead out of its folder."""
    return bool(name) and name not in (".", "..") and not re.search(r"[/\\\0]", name)


def _write(
    clips: list[Clip], partial: Path, journal: Journal, densest: float | None
) -> tuple[list[Utterance], list[tuple[str, str]]]:
    """The utterances of ``clips``, and what cannot be used; those the journal knows are not read again."""
    ids: set[str] = set()
    files: set[str] = set()
    utterances, failed = [], []
    known = tuple(journal.outcomes)
    recordings, writer = _Recordings(partial / "scratch"), _Writer(journal)
    bar = Bar("importing")
    bar.start(len(clips), len(known))
    try:
        for number, clip in enumerate(clips):
            samples, target = None, None
            if number < len(known):
                outcome = known[number]
            else:
                try:
                    samples = recordings.cut(clip, densest)
                    outcome = {"seconds": round(samples.size / audio.SAMPLE_RATE, 4)}
                except AudioError as error:
                    outcome = {"reason": str(error)}
            if "reason" in outcome:
                failed.append((clip.item, outcome["reason"]))
            else:
                name = distinct(clip.id, ids, str)
                target = partial / "audio" / f"{safe(distinct(name, files))}.flac"
                utterances.append(Utterance(name, target, outcome["seconds"], clip.text, **clip.fields))
            if number >= len(known):
                writer.add(outcome, target, samples)
                bar.advance()
        writer.drain()
    finally:
        bar.stop()
        writer.stop()
        recordings.forget()
    return utterances, failed


class _Writer:
    """Writes FLAC files by several threads, as the disk is what an import waits for; the journal hears in order."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pool = ThreadPoolExecutor(WRITERS)
        self._pending: deque[tuple[Future[None] | None, dict[str, Any]]] = deque()

    def add(self, outcome: dict[str, Any], path: Path | None, samples: np.ndarray | None) -> None:
        """Take the outcome of the next clip and, where there are samples, write them to ``path``."""
        written = None
        if path is not None and samples is not None:
            written = self._pool.submit(audio.write_flac, path, samples)
        self._pending.append((written, outcome))
        self.drain(2 * WRITERS)

    def drain(self, left: int = 0) -> None:
        """Wait until at most ``left`` files are under way. Raises what writing one raised."""
        while len(self._pending) > left:
            written, outcome = self._pending[0]
            if written is not None:
                written.result()
            self._journal.add(outcome)
            self._pending.popleft()

    def stop(self) -> None:
        """Let the threads end, and after an error note what was written before the file that failed."""
        self._pool.shutdown()
        while self._pending and (self._pending[0][0] is None or self._pending[0][0].exception() is None):
            self._journal.add(self._pending.popleft()[1])


class _Recordings:
    """Reads recordings, keeping the last: the segments of a long one mostly follow each other."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._path: Path | None = None
        self._samples = np.zeros(0, dtype=np.float32)

    def cut(self, clip: Clip, densest: float | None) -> np.ndarray:
        """The clip's samples: float32 at 16 kHz. Raises `AudioError`, its message without the path."""
        path = clip.path
        if clip.content is not None:
            path = self._scratch
            path.write_bytes(clip.content())
            self._path = None
        try:
            samples = self._cut(clip, path)
            seconds = samples.size / audio.SAMPLE_RATE
            if densest is not None and len(clip.text) / seconds > densest:
                raise AudioError(f"{len(clip.text)} characters of text in {seconds:.1f} s cannot all be spoken")
        except AudioError as error:
            raise AudioError(str(error).removeprefix(f"{path}: ")) from error
        return samples

    def forget(self) -> None:
        """Remove what was laid down to be read."""
        self._scratch.unlink(missing_ok=True)

    def _cut(self, clip: Clip, path: Path) -> np.ndarray:
        whole = audio.info(path).duration
        seconds = whole - clip.offset if clip.length is None else clip.length
        if clip.offset >= whole or clip.offset + seconds > whole + 0.1:
            raise AudioError(f"the segment from {clip.offset:g} s lies outside the recording of {whole:.1f} s")
        audio.require_window(path, seconds)
        if path != self._path:
            self._samples, self._path = audio.read(path), path
        start = round(clip.offset * audio.SAMPLE_RATE)
        samples = self._samples[start : start + max(1, round(seconds * audio.SAMPLE_RATE))]
        if samples.size == 0 or float(np.abs(samples).max()) < audio.SILENCE:
            raise AudioError(f"is silent (peak below {audio.SILENCE:g})")
        return samples


def _is_whole(partial: Path, plan: str) -> bool:
    """Whether a killed import of this plan had only its rename left to do."""
    record = partial / RECORD
    return record.is_file() and bool(json.loads(record.read_text(encoding="utf-8"))["plan"] == plan)


def _report(output: Path) -> ImportReport:
    record = json.loads((output / RECORD).read_text(encoding="utf-8"))
    skipped = tuple((item, reason) for item, reason in record["skipped"])
    return ImportReport(Corpus.load(output / MANIFEST), skipped, record["filtered"])


def _identity(clip: Clip) -> list[Any]:
    """What an import that goes on must find unchanged; not the path, which may be a temporary one."""
    size = clip.path.stat().st_size if clip.content is None and clip.path.is_file() else None
    return [clip.item, clip.id, clip.text, clip.fields, clip.offset, clip.length, size]


def _changed(clip: Clip) -> int | None:
    """When a recording was last written, in ns, by which one is told from another of the same size."""
    return clip.path.stat().st_mtime_ns if clip.content is None and clip.path.is_file() else None


def _kind(reason: str) -> str:
    """A reason without its figures and what follows them, so that like ones are counted together."""
    general = re.split(r"; | \(", reason)[0]
    general = re.sub(r"(?<= as ).*[./].*", "another", general)
    return re.sub(r"\d+(\.\d+)?", "n", general)


def _why_nothing(failed: list[tuple[str, str]], filtered: Mapping[str, int]) -> str:
    if failed:
        return f"; the first, {failed[0][0]}: {failed[0][1]}"
    return "; left out were " + ", ".join(f"{rule}, {n} of them" for rule, n in filtered.items()) if filtered else ""
