"""SVOX Pico, the small synthesiser of early Android, through PyPI's py-nanotts: one female voice a language."""

import ctypes
import sys
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from syn2real.errors import NotInstalled, UserError
from syn2real.speech.engines.base import (
    ENGINES,
    Engine,
    Voice,
    from_pcm,
    of_language,
    require_readable,
    require_spoken,
)

SAMPLE_RATE = 16_000  # Hz
LOCALES = ("de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "it-IT")
VOLUME = 0.4  # at its own level Pico clips its loudest vowels
LONGEST_WORD = 300  # characters; Pico never returns from a word of some thousand

_M_MMAP_THRESHOLD = -3  # glibc's mallopt
_ARENA = 2_500_000  # bytes py-nanotts allocates for each sentence


@ENGINES.register("pico")
class Pico(Engine):
    """SVOX Pico. Voices are named by locale; the seed changes nothing, for Pico draws nothing."""

    name = "pico"

    def require(self) -> None:
        """Raise `NotInstalled` when py-nanotts is absent."""
        if find_spec("py_nanotts") is None:
            raise NotInstalled("SVOX Pico (py-nanotts)", "pico")

    def voices(self, language: str | None = None) -> list[Voice]:
        """The six voices, or those of one language."""
        self.require()
        voices = (
            Voice(self.name, locale, locale[:2], locale, SAMPLE_RATE, "Apache-2.0", True, "female") for locale in LOCALES
        )
        return of_language(voices, language)

    def speak(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at 16 kHz."""
        text = require_readable(text, self.name)
        if any(len(word) > LONGEST_WORD for word in text.split()):
            raise UserError(f"pico: cannot speak {text[:60]!r}: a word is longer than {LONGEST_WORD} characters")
        # Pico reads `<...>` as markup, and would obey it.
        plain = text.replace("<", " ").replace(">", " ")
        pcm = self._synthesiser.speak(plain, voice=voice.name, speed=rate, pitch=pitch, volume=VOLUME)
        samples = from_pcm(np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2"))
        return require_spoken(samples, text, self.name, voice), SAMPLE_RATE

    @cached_property
    def _synthesiser(self) -> Any:
        self.require()
        import py_nanotts

        _always_allocate_zeros()
        return py_nanotts.NanoTTS()


def _always_allocate_zeros() -> None:
    """Make large blocks come from the kernel, which hands them out zeroed.

    Pico reads its working memory before writing it, so that a recycled block changes some samples. glibc recycles
    large blocks once one was freed, unless the threshold is set by hand; other C libraries map them afresh.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _ARENA // 2)
