"""A speech server on this machine, which answers as told: with speech, late, wrongly, or not at all."""

import contextlib
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from syn2real.errors import UserError
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import engine, find_voice, list_voices
from syn2real.speech.synthesis import SynthesisSettings, synthesize


def wav(seconds: float, channels: int = 1) -> bytes:
    times = np.arange(round(24_000 * seconds)) / 24_000
    tone = (0.3 * np.sin(2 * np.pi * 200 * times)).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([tone] * channels, axis=1), 24_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


class Speaker(ThreadingHTTPServer):
    """Answers with the first of ``answers`` while there are any, then with speech as long as the text."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes] | float] = []
        self.asked: list[dict] = []
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Speaker

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked | {"path": self.path, "key": self.headers["Authorization"]})
        answer = self.server.answers.pop(0) if self.server.answers else (200, wav(len(asked["input"]) / 15))
        if isinstance(answer, float):
            time.sleep(answer)
            answer = (200, wav(1))
        status, body = answer
        if status == 0:
            self.connection.close()
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + (1000 if status == 206 else 0)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # who asked has gone
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def speaker(monkeypatch):
    monkeypatch.setattr("syn2real.posting.PAUSE", 0.01)
    server = Speaker()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def say(speaker, text="Two words.", **options):
    given = {"server": {"url": speaker.url, **options}}
    voice = find_voice("server:alloy", given)
    return engine("server", given["server"]).speak(text, voice, 1.25, 1.0, 7)


def test_asks_as_openai_is_asked_and_reads_the_answer(speaker, monkeypatch):
    monkeypatch.setenv("SPEECH_KEY", "secret")
    samples, rate = say(speaker, model="kokoro", key="SPEECH_KEY")
    assert rate == 24_000 and samples.dtype == np.float32 and samples.size == 16_000
    assert speaker.asked == [
        {
            "path": "/v1/audio/speech", "key": "Bearer secret", "model": "kokoro", "input": "Two words.",
            "voice": "alloy", "response_format": "wav", "speed": 1.25, "seed": 7,
        }
    ]  # fmt: skip


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
def test_address_with_and_without_its_tail(speaker, tail):
    given = {"url": speaker.url + tail}
    engine("server", given).speak("Hi there.", find_voice("server:a", {"server": given}), 1.0, 1.0, 1)
    assert speaker.asked[0]["path"] == "/v1/audio/speech"


def test_stereo_becomes_mono(speaker):
    speaker.answers = [(200, wav(1, channels=2))]
    assert say(speaker)[0].shape == (24_000,)


@pytest.mark.parametrize("trouble", [(503, b"busy"), (429, b""), (0, b""), (206, b"RIFF")])
def test_tries_again(speaker, trouble):
    speaker.answers = [trouble, trouble]
    assert say(speaker)[0].size and len(speaker.asked) == 3


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([(503, b"busy")] * 4, r"status 503 \(busy\) \(tried 4 times\)"),
        ([(0, b"")] * 4, r"tried 4 times"),
        ([(401, b'{"error": "wrong key"}')], r"status 401 .*wrong key.* \(tried 1 times\)"),
        ([(200, b"<html>hello")], "'Two words.': sent no audio but 11 bytes that begin '<html>hello'"),
        ([(200, b"")], "sent no audio but 0 bytes"),
        ([(200, wav(1)[:44])], "cannot speak 'Two words.'"),
    ],
)
def test_trouble_is_one_line(speaker, answers, problem):
    speaker.answers = list(answers)
    with pytest.raises(UserError, match=problem) as error:
        say(speaker)
    assert "\n" not in str(error.value) and not speaker.answers


def test_silence_is_waited_out_only_so_long(speaker):
    speaker.answers = [0.8, 0.8]
    with pytest.raises(UserError, match=r"no answer in 0\.2 s \(tried 2 times\)"):
        say(speaker, timeout=0.2, retries=1)


def test_a_server_that_is_not_there():
    given = {"server": {"url": "http://127.0.0.1:9", "retries": 0}}
    voice = find_voice("server:alloy", given)
    with pytest.raises(UserError, match=r"127.0.0.1:9/v1/audio/speech: .*refused.*is it running"):
        engine("server", given["server"]).speak("hi", voice, 1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "needs an address: option server.url"),
        ({"url": "localhost:8880"}, "is no address; write it as http://"),
        ({"url": "http://h", "voices": " , "}, "name at least one voice"),
        ({"url": "http://h", "timeout": 0}, "timeout"),
        ({"url": "http://h", "key": "NO_SUCH_KEY"}, "NO_SUCH_KEY holds no key"),
    ],
)
def test_options_are_checked(options, problem):
    with pytest.raises(UserError, match=problem):
        list_voices(["server"], None, {"server": options}) or engine("server", options)


def test_a_corpus(speaker, tmp_path):
    options = {"server": {"url": speaker.url, "voices": "alloy, nova", "licence": "ours", "commercial": True}}
    settings = SynthesisSettings(engines=("server",), options=options, renditions=2, commercial_only=True)
    spoken = synthesize([Sentence("a", "Good morning everyone.")], settings, tmp_path, workers=1)
    assert {u.voice for u in spoken} == {"alloy", "nova"} and {u.licence for u in spoken} == {"ours"}
