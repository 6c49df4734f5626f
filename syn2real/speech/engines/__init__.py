"""Speech synthesisers behind one small interface, found by name. A user's package adds one through the entry point
group ``syn2real.engine``: a subclass of `Engine`, or any function of no arguments that returns one."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from syn2real.errors import UserError
from syn2real.speech.engines import (
    bark,
    command,
    coqui,
    espeak,
    flite,
    hibari,
    kokoro,
    pico,
    piper,
    server,
    speecht5,
    vits,
)
from syn2real.speech.engines.base import ENGINES, Engine, ProgramMissing, Voice
from syn2real.speech.engines.options import EngineOptions, Given, Options, by_content, options_from, read_options

__all__ = [
    "ENGINES",
    "Engine",
    "EngineOptions",
    "Options",
    "ProgramMissing",
    "Voice",
    "bark",
    "by_content",
    "command",
    "configured",
    "coqui",
    "engine",
    "engine_of",
    "espeak",
    "find_voice",
    "flite",
    "hibari",
    "kokoro",
    "list_voices",
    "missing_engines",
    "options_from",
    "pico",
    "piper",
    "read_options",
    "server",
    "speecht5",
    "vits",
]


def engine(name: str, options: Mapping[str, Any] | None = None) -> Engine:
    """The engine called ``name`` with these options, made once a process.

    Raises `UserError` with the nearest name when there is none or an option is not its own, and `NotInstalled` when it
    cannot run here.
    """
    made = configured(name, options)
    return _ready(name, made.given)


@cache
def _ready(name: str, given: Given) -> Engine:
    made = configured(name, dict(given))
    made.require()
    return made


def configured(name: str, options: Mapping[str, Any] | None = None) -> Engine:
    """The engine with these options, whether it can run here or not. Raises `UserError` as `engine` does."""
    made = ENGINES.get(name)()
    made.configure(options or {})
    return made


def engine_of(voice: Voice) -> Engine:
    """The engine that a voice belongs to, set up as it was when the voice was found."""
    return _ready(voice.engine, voice.options)


def find_voice(name: str, options: Options | None = None) -> Voice:
    """The voice called ``engine:voice``. Raises `UserError` when there is none, `NotInstalled` without its engine."""
    engine_name, colon, voice_name = name.partition(":")
    if not colon:
        raise UserError(f"voice {name!r}: write engine:voice, such as espeak:es+f2")
    return engine(engine_name, (options or {}).get(engine_name)).voice(voice_name)


def missing_engines(names: Iterable[str] | None = None, options: Options | None = None) -> dict[str, str]:
    """The engines (all, unless named) that cannot run here, with the reason. Raises `UserError` for unknown names."""
    chosen = ENGINES.names() if names is None else names
    reasons = {name: configured(name, (options or {}).get(name)).available() for name in chosen}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def list_voices(
    engines: Iterable[str] | None = None, language: str | None = None, options: Options | None = None
) -> list[Voice]:
    """The voices of these engines (all, unless named) in one language or all; engines that cannot run have none."""
    names = ENGINES.names() if engines is None else list(engines)
    missing = missing_engines(names, options)
    found = [engine(name, (options or {}).get(name)).voices(language) for name in names if name not in missing]
    return [voice for voices in found for voice in voices]
