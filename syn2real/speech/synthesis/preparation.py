"""What voices need, brought to this machine before any of them speaks."""

from collections.abc import Iterable
from typing import Any

from syn2real.speech.engines import Voice, engine_of


def prepare(voices: Iterable[Voice]) -> None:
    """Bring what these voices need onto this machine, such as weights. Raises `UserError` when it cannot be had."""
    groups: dict[tuple[str, tuple[Any, ...]], list[Voice]] = {}
    for voice in dict.fromkeys(voices):
        groups.setdefault((voice.engine, voice.options), []).append(voice)
    for group in groups.values():
        engine_of(group[0]).prepare(group)
