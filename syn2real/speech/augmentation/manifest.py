"""Augmentation that a manifest's lines ask for and reading applies; and the same made permanent."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.errors import UserError
from syn2real.hashing import sha256_json
from syn2real.progress import track
from syn2real.sealing import sealed_directory, write_text
from syn2real.speech import audio
from syn2real.speech.augmentation.augmentation import Augmentation
from syn2real.speech.corpus import MANIFEST, Corpus, Utterance

FIELD = "augmentation"  # of a line whose audio is to be changed when it is read
DONE = "augmented"  # of a line whose audio was changed so
RECORD = "augmentation.json"  # beside the manifest of changed audio: what it was made from and with


def augmented(corpus: Corpus, augmentation: Augmentation) -> Corpus:
    """The corpus with each utterance asking for ``augmentation`` when it is read; the audio stays as it is.

    Raises `UserError` for an utterance that asks for one already.
    """
    transforms = augmentation.spec()
    for entry in transforms:
        if "source" in entry:  # a manifest is read from anywhere
            entry["source"] = str(Path(entry["source"]).resolve())
    for utterance in corpus:
        if FIELD in utterance.extra:
            raise UserError(f"utterance {utterance.id!r} asks for an augmentation already; materialise that one first")
    request = {"transforms": transforms, "seed": augmentation.seed}
    return Corpus.of(replace(utterance, extra=utterance.extra | {FIELD: request}) for utterance in corpus)


def requested(utterance: Utterance) -> Augmentation | None:
    """The augmentation an utterance asks for. Raises `UserError` when what it says is none."""
    request = utterance.extra.get(FIELD)
    if request is None:
        return None
    try:
        if not isinstance(request, Mapping) or set(request) != {"transforms", "seed"}:
            raise UserError('write {"transforms": [...], "seed": 0}')
        if not isinstance(request["seed"], int) or isinstance(request["seed"], bool):
            raise UserError(f"the seed must be a whole number, not {request['seed']!r}")
        return _parsed(json.dumps(request, sort_keys=True))
    except UserError as error:
        raise type(error)(f"utterance {utterance.id!r}: field {FIELD!r}: {error}") from error


@lru_cache(maxsize=32)  # all lines of a manifest mostly say the same, and listing recordings takes time
def _parsed(request: str) -> Augmentation:
    values = json.loads(request)
    return Augmentation.from_spec(values["transforms"], values["seed"])


def read_utterance(utterance: Utterance) -> np.ndarray:
    """Samples of an utterance as its manifest wants them heard: float32, 16 kHz, shape (n,).

    The recording, changed by the augmentation the line asks for, if any. Raises `AudioError` for audio that cannot be
    read and `UserError` for an augmentation that is none.
    """
    augmentation = requested(utterance)
    samples = audio.read(utterance.audio_filepath)
    return samples if augmentation is None else augmentation(samples, key=utterance.id)


def materialise(corpus: Corpus, output: Path, *, overwrite: bool = False) -> Corpus:
    """Write every utterance as it is to be heard: ``output/audio``, and a manifest that asks for nothing more.

    A killed run goes on where it was. Raises `UserError` when no utterance asks for an augmentation, when ``output``
    exists, and for audio that cannot be read or lasts over 30 s.
    """
    from syn2real.speech.corpora.importing import distinct, safe  # brings every reader of corpora along

    wanted = [requested(utterance) for utterance in corpus]
    if not any(wanted):
        raise UserError("no utterance asks for an augmentation; name a preset or a recipe")
    record = {
        "corpus": corpus.fingerprint,
        "augmentation": sha256_json(sorted({augmentation.fingerprint for augmentation in wanted if augmentation})),
        "versions": {name: version(name) for name in ("numpy", "soundfile", "soxr")},
    }
    with sealed_directory(output, resume=True, overwrite=overwrite) as partial:
        _keep_own(partial, json.dumps(record, indent=2, sort_keys=True) + "\n")
        taken: set[str] = set()
        written = []
        for utterance in track(corpus, "augmenting"):
            target = partial / "audio" / f"{safe(distinct(utterance.id, taken))}.flac"
            if not target.is_file():  # files appear whole or not at all
                audio.require_window(utterance.audio_filepath, utterance.duration)
                audio.write_flac(target, read_utterance(utterance))
            written.append(_told(utterance, target))
        Corpus.of(written).save(partial / MANIFEST)
    return Corpus.load(output / MANIFEST)


def _keep_own(partial: Path, record: str) -> None:
    """Keep what an earlier run left only if it was making the same."""
    path = partial / RECORD
    if not path.is_file() or path.read_text(encoding="utf-8") != record:
        shutil.rmtree(partial)
        partial.mkdir()
        write_text(path, record)


def _told(utterance: Utterance, path: Path) -> Utterance:
    """The utterance with its new audio, and with what was asked for told as done."""
    extra: dict[str, Any] = {DONE if name == FIELD else name: value for name, value in utterance.extra.items()}
    return replace(utterance, audio_filepath=path, duration=round(audio.info(path).duration, 4), extra=extra)
