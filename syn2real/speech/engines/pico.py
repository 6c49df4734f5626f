"""SVOX Pico, the small synthesiser of early Android, through PyPI's py-nanotts: one female voice a language."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from syn2real.errors import NotInstalled, UserError
from syn2real.speech.engines.base import ENGINES, Engine, Voice, from_pcm

SAMPLE_RATE = 16_000  # Hz
LOCALES = ("de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "it-IT")
VOLUME = 0.4  # at its own level Pico clips its loudest vowels
LONGEST_WORD = 300  # characters; Pico never returns from a word of some thousand

_M_PERTURB = -6  # glibc's mallopt


@ENGINES.register("pico")
class Pico(Engine):
    """SVOX Pico. Voices are named by locale; the seed changes nothing, for Pico draws nothing."""

    name = "pico"
    licence = "Apache-2.0"
    packages = ("py-nanotts",)
    effort = 0.01

    def require(self) -> None:
        """Raise `NotInstalled` when py-nanotts is absent."""
        if find_spec("py_nanotts") is None:
            raise NotInstalled("SVOX Pico (py-nanotts)", "pico")

    def all_voices(self) -> list[Voice]:
        """The six voices."""
        self.require()
        return [Voice(self.name, name, name[:2], name, SAMPLE_RATE, "Apache-2.0", True, "female") for name in LOCALES]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at 16 kHz."""
        if any(len(word) > LONGEST_WORD for word in text.split()):
            raise UserError(f"pico: cannot speak {text[:60]!r}: a word is longer than {LONGEST_WORD} characters")
        # Pico reads `<...>` as markup, and would obey it.
        plain = text.replace("<", " ").replace(">", " ")
        synthesiser = self._synthesiser
        with _zeroed_memory():
            pcm = synthesiser.speak(plain, voice=voice.name, speed=rate, pitch=pitch, volume=VOLUME)
        return from_pcm(np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2")), SAMPLE_RATE

    @cached_property
    def _synthesiser(self) -> Any:
        self.require()
        import py_nanotts

        return py_nanotts.NanoTTS()


@contextmanager
def _zeroed_memory() -> Iterator[None]:
    """Let malloc hand out zeros for a while (glibc; other C libraries are taken as they are).

    Pico reads its working memory before writing it, so that what a recycled block held before changes some samples.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        yield
        return
    mallopt(_M_PERTURB, 0xFF)  # new blocks are filled with the complement of this byte
    try:
        yield
    finally:
        mallopt(_M_PERTURB, 0)
