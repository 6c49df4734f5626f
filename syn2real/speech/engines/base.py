"""What an engine is: something that turns text into samples, the same ones for the same request, always."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from syn2real.errors import NotInstalled, UserError, did_you_mean, one_line
from syn2real.registry import Registry
from syn2real.speech.engines.options import EngineOptions, Given, parse_options

SPOKEN = 0.01  # peak amplitude (-40 dBFS) that speech exceeds, and the noise engines give for unreadable text does not


@dataclass(frozen=True)
class Voice:
    """One speaker of one engine."""

    engine: str
    name: str
    language: str  # ISO 639-1
    locale: str  # language and region or accent, such as "es-419"
    sample_rate: int  # Hz
    licence: str  # of the voice; for a GPL engine, of the engine
    commercial_ok: bool
    gender: Literal["female", "male"] | None = None
    model: str | None = None  # file the voice is read from, where it has one of its own
    options: Given = ()  # given to its engine, so that a worker process can make the same one

    @property
    def id(self) -> str:
        """``engine:voice``, how settings and manifests name it."""
        return f"{self.engine}:{self.name}"


class Engine(ABC):
    """A speech synthesiser. A subclass imports its package no earlier than `require`."""

    name: ClassVar[str]
    licence: ClassVar[str] = "unknown"  # of the engine's own code; voices have theirs
    packages: ClassVar[tuple[str, ...]] = ()  # whose versions decide what is said, as PyPI calls them
    effort: ClassVar[float] = 0.5  # s of one CPU core that a short sentence takes, roughly: what a plan goes by
    options: EngineOptions = EngineOptions()  # a subclass that can be set up has its own class here
    given: Given = ()  # the options as they were given

    def configure(self, options: Mapping[str, Any]) -> None:
        """Take options. Raises `UserError` for one that is unknown or of the wrong kind."""
        self.options, self.given = parse_options(type(self.options), self.name, options)

    @abstractmethod
    def require(self) -> None:
        """Raise `NotInstalled`, saying what to install, when the engine cannot run here, and `UserError` when its
        options name what is not there. Loads no model and asks no network."""

    @abstractmethod
    def all_voices(self) -> list[Voice]:
        """The voices installed here. Raises `NotInstalled`."""

    def prepare(self, voices: Sequence[Voice]) -> None:  # noqa: B027 - most engines need nothing
        """Bring what these voices need onto this machine, before any of them speaks. Raises `UserError`.

        Called once, and not in every worker process, so that a download happens once and a model that cannot be had
        is known before hours are spent.
        """

    @abstractmethod
    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """What `speak` returns, for text that is not empty, its white space single, and without control characters."""

    def to_fetch(self, voices: Sequence[Voice]) -> list[str]:
        """Names of what `prepare` would fetch from elsewhere for these voices."""
        return []

    def most_processes(self) -> int | None:
        """How many processes may hold the engine at once, where memory limits them."""
        return None

    def voices(self, language: str | None = None) -> list[Voice]:
        """The voices installed here, of one language (ISO 639-1) or of all. Raises `NotInstalled`."""
        return [voice for voice in self.all_voices() if language is None or voice.language == language]

    def speak(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples (float32, mono, within [-1, 1]) and their rate in Hz.

        ``rate`` and ``pitch`` are factors, 1.0 being the voice's own; ``seed`` fixes whatever the engine draws. The
        same arguments give the same samples, whatever was spoken before. Raises `UserError` naming text that cannot
        be spoken.
        """
        text = require_readable(text, self.name)
        try:
            samples, hertz = self.say(text, voice, rate, pitch, seed)
        except UserError:
            raise
        except Exception as error:  # whatever a foreign package raises on one sentence of thousands
            reason = one_line(error, 200)
            raise UserError(
                f"{self.name}: voice {voice.name} failed on {text[:60]!r}: {type(error).__name__}: {reason}"
            ) from error
        return require_spoken(samples, text, self.name, voice), hertz

    def available(self) -> str | None:
        """Why the engine cannot run here, or None when it can."""
        try:
            self.require()
        except UserError as error:
            return str(error)
        return None

    def voice(self, name: str) -> Voice:
        """The voice called ``name``. Raises `UserError` with the nearest name when there is none."""
        voices = {voice.name: voice for voice in self.voices()}
        if name not in voices:
            raise UserError(f"engine {self.name!r} has no voice {name!r}{did_you_mean(name, voices)}")
        return voices[name]


class ProgramMissing(NotInstalled):
    """A program that is not on PyPI is missing. The message names the Debian package that brings it."""

    def __init__(self, program: str, package: str) -> None:
        UserError.__init__(self, f"the program {program} is not installed: run `apt install {package}`")


ENGINES: Registry[Callable[[], Engine]] = Registry("engine")


def require_readable(text: str, engine: str) -> str:
    """``text`` with white space folded. Raises `UserError` when it is empty or holds control characters."""
    folded = " ".join(text.split())
    if not folded:
        raise UserError(f"{engine}: there is no text to speak")
    if any(ord(character) < 32 or ord(character) == 127 for character in folded):
        raise UserError(f"{engine}: cannot speak {folded[:60]!r}: it holds control characters; remove them")
    return folded


def require_spoken(samples: np.ndarray, text: str, engine: str, voice: Voice) -> np.ndarray:
    """``samples``, or `UserError` when they hold no speech or no numbers."""
    if not np.isfinite(samples).all():
        raise UserError(f"{engine}: voice {voice.name} gave NaN or infinite samples for {text[:60]!r}")
    if float(np.abs(samples).max(initial=0.0)) < SPOKEN:
        hint = "is it in another language or script?"
        raise UserError(f"{engine}: voice {voice.name} ({voice.locale}) cannot speak {text[:60]!r}; {hint}")
    return samples


def within_range(samples: np.ndarray) -> np.ndarray:
    """``samples`` (shape (n,)) as float32, scaled down where their peak would exceed 1; NaN is left to be found."""
    samples = samples.astype(np.float32)
    peak = float(np.abs(samples).max(initial=0.0))
    return samples / np.float32(peak) if peak > 1 else samples


def from_pcm(samples: np.ndarray) -> np.ndarray:
    """int16 samples as float32 in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768)
