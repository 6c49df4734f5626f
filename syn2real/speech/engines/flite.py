"""Festival Lite: four American voices and a Scottish one, through Debian's ``flite`` program."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from syn2real.speech.engines.base import ENGINES, Engine, ProgramMissing, Voice
from syn2real.speech.engines.wave_output import parse_wave, wave_of

LICENCE = "BSD-like (Carnegie Mellon University)"

# name: (locale, sample rate in Hz, gender). kal sounds like a telephone.
_VOICES: dict[str, tuple[str, int, Literal["female", "male"]]] = {
    "awb": ("en-GB-scotland", 16_000, "male"),
    "kal": ("en-US", 8_000, "male"),
    "kal16": ("en-US", 16_000, "male"),
    "rms": ("en-US", 16_000, "male"),
    "slt": ("en-US", 16_000, "female"),
}


@ENGINES.register("flite")
class Flite(Engine):
    """flite. The seed changes nothing; ``rms`` has one pitch."""

    name = "flite"
    effort = 0.04
    licence = LICENCE

    def require(self) -> None:
        """Raise `NotInstalled` when the program is absent."""
        if shutil.which("flite") is None:
            raise ProgramMissing("flite", "flite")

    def all_voices(self) -> list[Voice]:
        """The voices compiled into Debian's flite."""
        self.require()
        return [
            Voice(self.name, name, "en", locale, rate, LICENCE, True, gender)
            for name, (locale, rate, gender) in _VOICES.items()
        ]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at 8 or 16 kHz."""
        self.require()
        features = ["--setf", f"duration_stretch={1 / rate:.4f}", "--setf", f"f0_shift={pitch:.4f}"]
        with tempfile.TemporaryDirectory() as folder:
            script, output = Path(folder) / "text", Path(folder) / "speech.wav"
            script.write_text(text, encoding="utf-8")
            wave_of(["flite", "-voice", voice.name, *features, "-f", str(script), "-o", str(output)], "")
            return parse_wave(output.read_bytes())
