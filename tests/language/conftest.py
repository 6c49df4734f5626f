"""A chat server on this machine, which answers as told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class ChatServer(ThreadingHTTPServer):
    """Answers with the first of ``answers`` while there are any, then with what ``reply`` makes of the request."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes] | tuple[int, bytes, dict]] = []
        self.asked: list[dict] = []
        self.reply = lambda asked: f"I heard {asked['messages'][-1]['content']}"
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(asked | {"path": self.path, "key": self.headers["Authorization"]})
            told = self.server.answers.pop(0) if self.server.answers else None
        if told is None:
            body = {"choices": [{"message": {"role": "assistant", "content": self.server.reply(asked)}}]}
            told = (200, json.dumps(body).encode())
        status, body, *more = told
        self.send_response(status)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def chat_server(monkeypatch, tmp_path):
    monkeypatch.setattr("syn2real.posting.PAUSE", 0.01)
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path / "cache"))
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
