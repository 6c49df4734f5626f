"""Speech over HTTP: any server that answers OpenAI's ``POST /v1/audio/speech``."""

import io
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from syn2real.errors import UserError
from syn2real.posting import post_json, require_address, require_key
from syn2real.speech.engines.base import ENGINES, Engine, Voice, within_range
from syn2real.speech.engines.options import EngineOptions
from syn2real.speech.engines.resampling import change_voice, speed_before

SAMPLE_RATE = 24_000  # Hz, what such servers mostly send; the WAV itself says
SPEEDS = (0.25, 4.0)  # that the interface allows
LARGEST = 64_000_000  # bytes of an answer: more than ten minutes of speech


class ServerOptions(EngineOptions):
    """Where the server is, and what to ask it for."""

    url: str | None = None  # up to and without /v1: http://localhost:8880
    model: str = "tts-1"
    voices: str = "alloy"  # names, separated by commas
    language: str = "en"  # ISO 639-1, of these voices
    licence: str = "unknown (see the server's terms)"
    commercial: bool = False  # whether its speech may be used commercially
    key: str | None = None  # name of the environment variable that holds the server's key
    timeout: Annotated[float, Field(gt=0, le=3600)] = 120.0  # s for one sentence
    retries: Annotated[int, Field(ge=0, le=20)] = 3


@ENGINES.register("server")
class Server(Engine):
    """An OpenAI-compatible speech server. Whether the same text gives the same samples is the server's affair: the seed
    is sent along as ``seed``, which most ignore."""

    name = "server"
    effort = 1.0
    licence = "of the server"
    options: ServerOptions = ServerOptions()

    def require(self) -> None:
        """Raise `UserError` without an address, or for one that is none."""
        url = self.options.url
        if url is None:
            raise UserError("engine 'server' needs an address: option server.url, for instance http://localhost:8880")
        require_address(url, "engine 'server'")
        if not self._names:
            raise UserError("engine 'server': name at least one voice: option server.voices=alloy,nova")
        if self.options.key is not None:
            require_key(self.options.key, "engine 'server'")

    def all_voices(self) -> list[Voice]:
        """The voices named in the options; the interface has no list of them."""
        self.require()
        return [self.voice(name) for name in self._names]

    def voice(self, name: str) -> Voice:
        """A voice by any name: only the server knows whether it has it."""
        language, rights = self.options.language, (self.options.licence, self.options.commercial)
        return Voice(self.name, name, language, language, SAMPLE_RATE, *rights, options=self.given)

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at the server's rate. Raises `UserError` when it refuses, stays silent, or sends no audio."""
        speed = min(max(speed_before(rate, pitch), SPEEDS[0]), SPEEDS[1])
        asked = {
            "model": self.options.model,
            "input": text,
            "voice": voice.name,
            "response_format": "wav",
            "speed": round(speed, 3),
            "seed": seed % 2**31,
        }
        content = self._answer(asked)
        samples, hertz = _decoded(content, f"server: voice {voice.name}: {text[:60]!r}")
        return change_voice(within_range(samples), pitch), hertz

    @property
    def _names(self) -> list[str]:
        return [name.strip() for name in self.options.voices.split(",") if name.strip()]

    def _answer(self, asked: dict[str, Any]) -> bytes:
        """The server's answer, asked for again after a pause where that may help."""
        address = f"{str(self.options.url).rstrip('/').removesuffix('/v1')}/v1/audio/speech"
        key = require_key(self.options.key, "engine 'server'") if self.options.key is not None else None
        timeout, retries = self.options.timeout, self.options.retries
        try:
            return post_json(
                address, asked, key=key, timeout=timeout, retries=retries, largest=LARGEST, accept="audio/wav"
            )
        except UserError as error:
            raise UserError(f"server: {error}; is it running, and are key and voice right?") from error


def _decoded(content: bytes, what: str) -> tuple[np.ndarray, int]:
    """Samples (mono) and rate of audio in any format that libsndfile reads."""
    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        start = content[:40].decode("ascii", errors="replace")
        raise UserError(f"{what}: sent no audio but {len(content)} bytes that begin {start!r}") from error
    return samples.mean(axis=1), int(rate)
