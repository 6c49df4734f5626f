"""What the clips of a directory depend on, kept beside them, so that no run adds speech of other settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.hashing import sha256_json
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import engine_of
from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.settings import SynthesisSettings

RECORD = "synthesis.json"  # settings, text and versions, beside the manifest


def record_of(settings: SynthesisSettings, sentences: Sequence[Sentence], cast: Cast, checks: Mapping[str, Any]) -> str:
    """What the clips depend on, as the record's text. ``checks`` is what judges state, if there are any."""
    used = {voice.engine: voice for voices in cast.voices.values() for voice in voices}
    packages = {package for voice in used.values() for package in engine_of(voice).packages}
    # A list, for the order of the engines decides the draws.
    stated = asdict(settings) | {"engines": list(settings.weights.items())}
    if not settings.options:
        stated.pop("options")
    for name, usual in (("verbalise", True), ("label", "spoken"), ("style", "plain")):
        if stated[name] == usual:
            stated.pop(name)
    record = {
        "settings": stated,
        "sentences": sha256_json(sorted(_stated(sentence) for sentence in sentences)),
        "voices": sha256_json(sorted(v.id for voices in cast.voices.values() for v in voices)),
        "licences": sorted({v.licence for voices in cast.voices.values() for v in voices}),
        "versions": {name: _version(name) for name in sorted({"soxr", "soundfile", *packages})},
    }
    if checks:
        record["checks"] = dict(checks)
    return json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _stated(sentence: Sentence) -> list[str]:
    """What a sentence's clips and transcript depend on; for one that is spoken as it is written, its text."""
    stated = [sentence.id, sentence.text]
    return stated if sentence.written is None else [*stated, sentence.label or sentence.text, sentence.written]


def require_same(path: Path, before: str, now: str) -> None:
    """Raise `UserError` naming what differs between the record in ``path`` and this run's."""
    if before == now:
        return
    old, new = json.loads(before), json.loads(now)
    changed = ", ".join(name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name))
    raise UserError(
        f"{path.parent}: holds speech made with other {changed}; remove it or choose another output directory"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
