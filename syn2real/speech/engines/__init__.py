"""Speech synthesisers behind one small interface, found by name. A user's package adds one through the entry point
group ``syn2real.engine``: a subclass of `Engine`, or any function of no arguments that returns one."""

from collections.abc import Iterable
from functools import cache

from syn2real.errors import UserError
from syn2real.speech.engines import espeak, flite, hibari, pico, piper
from syn2real.speech.engines.base import ENGINES, Engine, ProgramMissing, Voice

__all__ = [
    "ENGINES",
    "Engine",
    "ProgramMissing",
    "Voice",
    "engine",
    "espeak",
    "find_voice",
    "flite",
    "hibari",
    "list_voices",
    "missing_engines",
    "pico",
    "piper",
]


@cache
def engine(name: str) -> Engine:
    """The engine called ``name``, made once a process.

    Raises `UserError` with the nearest name when there is none, `NotInstalled` when it cannot run here.
    """
    made = ENGINES.get(name)()
    made.require()
    return made


def find_voice(name: str) -> Voice:
    """The voice called ``engine:voice``. Raises `UserError` when there is none, `NotInstalled` without its engine."""
    engine_name, colon, voice_name = name.partition(":")
    if not colon:
        raise UserError(f"voice {name!r}: write engine:voice, such as espeak:es+f2")
    return engine(engine_name).voice(voice_name)


def missing_engines(names: Iterable[str] | None = None) -> dict[str, str]:
    """The engines (all, unless named) that cannot run here, with the reason. Raises `UserError` for unknown names."""
    reasons = {name: ENGINES.get(name)().available() for name in (ENGINES.names() if names is None else names)}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def list_voices(engines: Iterable[str] | None = None, language: str | None = None) -> list[Voice]:
    """The voices of these engines (all, unless named) in one language or all; engines that cannot run have none."""
    names = ENGINES.names() if engines is None else list(engines)
    missing = missing_engines(names)
    return [voice for name in names if name not in missing for voice in engine(name).voices(language)]
