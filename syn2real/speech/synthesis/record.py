"""What the clips of a directory depend on, kept beside them, so that no run adds speech of other settings."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from syn2real.errors import UserError
from syn2real.hashing import sha256_json
from syn2real.sealing import write_text
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import engine_of
from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.settings import SynthesisSettings

RECORD = "synthesis.json"  # settings, text and versions, beside the manifest


def keep_record(path: Path, settings: SynthesisSettings, sentences: Sequence[Sentence], cast: Cast) -> None:
    """Write what the clips depend on, or check that an unfinished run in this directory had the same."""
    used = {voice.engine: voice for voices in cast.voices.values() for voice in voices}
    packages = {package for voice in used.values() for package in engine_of(voice).packages}
    # A list, for the order of the engines decides the draws.
    stated = asdict(settings) | {"engines": list(settings.weights.items())}
    if not settings.options:
        stated.pop("options")
    record = {
        "settings": stated,
        "sentences": sha256_json(sorted([s.id, s.text] for s in sentences)),
        "voices": sha256_json(sorted(v.id for voices in cast.voices.values() for v in voices)),
        "licences": sorted({v.licence for voices in cast.voices.values() for v in voices}),
        "versions": {name: _version(name) for name in sorted({"soxr", "soundfile", *packages})},
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if not path.is_file():
        write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = ", ".join(sorted(name for name in record if before.get(name) != json.loads(text)[name]))
        raise UserError(
            f"{path.parent}: holds speech made with other {changed}; remove it or choose another output directory"
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
