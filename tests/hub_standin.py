"""A stand-in for the model hub on this machine: what huggingface_hub asks for to download a repository or to send files
to one, and no more."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from urllib.parse import unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


class HubStandin:
    """Serves folders as repositories while its ``with`` block lasts: ``HubStandin({"org/name": folder})``."""

    def __init__(self, repositories: Mapping[str, Path]) -> None:
        self.requests: list[str] = []  # "GET /path" of each, in order
        handler = type("Handler", (_Handler,), {"repositories": repositories, "requests": self.requests})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubStandin":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """Variables for a process that is to take this for the hub, with its cache in ``home``."""
        ours = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        return os.environ | ours | {"no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}


class _Handler(BaseHTTPRequestHandler):
    repositories: Mapping[str, Path]
    requests: list[str]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_POST(self) -> None:
        """Sending files: a repository is made, each file announced, and all of them committed inline."""
        path = unquote(urlsplit(self.path).path)
        self.requests.append(f"POST {path}")
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if path == "/api/repos/create":
            content = json.loads(sent)
            name = f"{content['organization']}/{content['name']}" if content.get("organization") else content["name"]
            self._send_json({"url": f"/{name}", "name": name, "id": name} if name in self.repositories else {}, True)
            return
        if path == "/api/validate-yaml":
            self._send_json({"errors": [], "warnings": []}, True)
            return
        for name, folder in self.repositories.items():
            if path == f"/api/models/{name}/preupload/main":
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(sent)["files"]
                ]
                self._send_json({"files": files}, True)
                return
            if path == f"/api/models/{name}/commit/main":
                for line in sent.splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        (folder / entry["value"]["path"]).write_bytes(base64.b64decode(entry["value"]["content"]))
                done = {
                    "success": True,
                    "commitOid": REVISION,
                    "commitUrl": f"http://{self.headers['Host']}/{name}/commit/{REVISION}",
                }
                self._send_json(done, True)
                return
        self._missing("RepoNotFound")

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.requests.append(f"{self.command} {path}")
        for name, folder in self.repositories.items():
            if path in (f"/api/models/{name}", *(f"/api/models/{name}/revision/{r}" for r in ("main", REVISION))):
                siblings = [{"rfilename": file} for file in _files(folder)]
                self._send_json({"id": name, "modelId": name, "sha": REVISION, "siblings": siblings}, body)
                return
            if path == f"/api/models/{name}/tree/{REVISION}":
                self._send_json([_entry(folder, file) for file in _files(folder)], body)
                return
            if path.startswith(f"/api/models/{name}/revision/"):
                self._missing("RevisionNotFound")
                return
            inner = path.removeprefix(f"/{name}/resolve/").partition("/")[2]
            if path.startswith(f"/{name}/resolve/") and inner in _files(folder):
                self._send((folder / inner).read_bytes(), "application/octet-stream", body)
                return
            if path.startswith(f"/{name}/resolve/"):
                self._missing("EntryNotFound")
                return
        self._missing("RepoNotFound")

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, content: object, body: bool) -> None:
        self._send(json.dumps(content).encode(), "application/json", body)

    def _send(self, content: bytes, kind: str, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _entry(folder: Path, file: str) -> dict[str, object]:
    content = (folder / file).read_bytes()
    return {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
