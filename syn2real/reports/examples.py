"""Utterances to look at and to listen to: which were heard worst, and how they differ from what was said."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syn2real.speech.normalisation import Normaliser, normaliser
from syn2real.speech.scoring import alignment

WORST = 12  # utterances shown
MEDIA = {".flac": "audio/flac", ".wav": "audio/wav", ".ogg": "audio/ogg"}


def worst_utterances(
    utterances: list[dict[str, Any]], system: str, before: str, count: int = WORST
) -> list[dict[str, Any]]:
    """The utterances with the most errors left by ``system``, then by what they lost against the system ``before``."""
    wrong = [row for row in utterances if row["errors"].get(system)]
    return sorted(wrong, key=lambda row: (-row["errors"][system], row["errors"].get(before, 0)))[:count]


def example(row: dict[str, Any], hypotheses: Mapping[str, str], normalise: Normaliser | str) -> dict[str, Any]:
    """An utterance for the template `example.html`: its sound as a data URL, and the alignment of each hypothesis.

    ``hypotheses`` maps what to call a system to what it heard.
    """
    clean = normaliser(normalise) if isinstance(normalise, str) else normalise
    systems = [
        {"label": label, "edits": alignment(clean(row["reference"]), clean(heard))}
        for label, heard in hypotheses.items()
    ]
    return {"id": row["id"], "reference": row["reference"], "sound": _sound(row["audio"]), "systems": systems}


def _sound(audio: str | None) -> str | None:
    """A recording as a data URL, where there is one that browsers play."""
    path = Path(audio or "")
    if not path.is_file() or path.suffix not in MEDIA:
        return None
    return f"data:{MEDIA[path.suffix]};base64,{b64encode(path.read_bytes()).decode()}"
