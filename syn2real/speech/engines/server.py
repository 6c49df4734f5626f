"""Speech over HTTP: any server that answers OpenAI's ``POST /v1/audio/speech``."""

import io
import json
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field

from syn2real.errors import UserError
from syn2real.speech.engines.base import ENGINES, Engine, Voice, within_range
from syn2real.speech.engines.options import EngineOptions
from syn2real.speech.engines.resampling import change_voice, speed_before

SAMPLE_RATE = 24_000  # Hz, what such servers mostly send; the WAV itself says
SPEEDS = (0.25, 4.0)  # that the interface allows
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses after which it is worth trying again
PAUSE = 0.5  # s before the second attempt; twice as long before each further one
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
    licence = "of the server"
    options: ServerOptions = ServerOptions()

    def require(self) -> None:
        """Raise `UserError` without an address, or for one that is none."""
        url = self.options.url
        if url is None:
            raise UserError("engine 'server' needs an address: option server.url, for instance http://localhost:8880")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"engine 'server': {url!r} is no address; write it as http://localhost:8880")
        if not self._names:
            raise UserError("engine 'server': name at least one voice: option server.voices=alloy,nova")
        if self.options.key is not None and not os.environ.get(self.options.key):
            raise UserError(f"engine 'server': the environment variable {self.options.key} holds no key; set it")

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
        content = self._answer(json.dumps(asked).encode())
        samples, hertz = _decoded(content, f"server: voice {voice.name}: {text[:60]!r}")
        return change_voice(within_range(samples), pitch), hertz

    @property
    def _names(self) -> list[str]:
        return [name.strip() for name in self.options.voices.split(",") if name.strip()]

    def _answer(self, body: bytes) -> bytes:
        """The server's answer, asked for again after a pause where that may help."""
        address = f"{str(self.options.url).rstrip('/').removesuffix('/v1')}/v1/audio/speech"
        headers = {"Content-Type": "application/json", "Accept": "audio/wav"}
        if self.options.key is not None:
            headers["Authorization"] = f"Bearer {os.environ[self.options.key]}"
        problem = ""
        for attempt in range(self.options.retries + 1):
            if attempt:
                time.sleep(min(PAUSE * 2 ** (attempt - 1), 10.0))
            try:
                request = urllib.request.Request(address, body, headers, method="POST")
                with urllib.request.urlopen(request, timeout=self.options.timeout) as response:
                    content: bytes = response.read(LARGEST + 1)
                    if response.length and len(content) <= LARGEST:
                        raise HTTPException("the answer was cut off")
                if len(content) > LARGEST:
                    raise UserError(f"server: {address} sent more than {LARGEST // 10**6} MB for one sentence")
                return content
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}{_said(error)}"
                if error.code not in AGAIN:
                    break
            except TimeoutError:
                problem = f"no answer in {self.options.timeout:g} s"
            except (OSError, HTTPException) as error:  # refused, reset, cut off in the middle
                reason = getattr(error, "reason", error)
                late = isinstance(reason, TimeoutError)
                problem = f"no answer in {self.options.timeout:g} s" if late else " ".join(str(reason).split())[:160]
        tried = f"tried {attempt + 1} times"
        raise UserError(f"server: {address}: {problem} ({tried}); is it running, and are key and voice right?")


def _said(error: urllib.error.HTTPError) -> str:
    """What a server says of its refusal, in brief."""
    try:
        text = " ".join(error.read(400).decode(errors="replace").split())
    except (OSError, HTTPException):
        return ""
    return f" ({text[:160]})" if text else ""


def _decoded(content: bytes, what: str) -> tuple[np.ndarray, int]:
    """Samples (mono) and rate of audio in any format that libsndfile reads."""
    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        start = content[:40].decode("ascii", errors="replace")
        raise UserError(f"{what}: sent no audio but {len(content)} bytes that begin {start!r}") from error
    return samples.mean(axis=1), int(rate)
