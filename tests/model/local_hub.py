"""A hub on this machine: the part of the real one's HTTP that fetching a model needs, with faults on demand."""
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

REVISION = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Serves `repositories`: {"OWNER/NAME": {file name: content}}. Weights count as in large-file storage."""

    def __init__(self, repositories: dict[str, dict[str, bytes]]) -> None:
        self.repositories = repositories
        self.gated: set[str] = set()
        self.stated_sizes: dict[str, int] = {}
        self.sent_instead: dict[str, bytes] = {}
        """By file name: what is really sent."""
        self.drops: dict[str, list[int]] = {}
        """By file name: after how many bytes the next answers break off."""
        self.stalls: dict[str, tuple[threading.Event, threading.Event]] = {}
        """By file name: half of it is sent, the first event set, and the second awaited."""
        self.requests: list[tuple[str, str, str | None]] = []
        """(method, path, Range) of everything that was asked."""
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "LocalHub":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ranges_of(self, name: str) -> list[str | None]:
        """The Range of every request for a file."""
        return [asked for _, path, asked in self.requests if path.endswith("/" + name)]


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub

    def do_GET(self) -> None:
        path = unquote(urlparse(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
            self._state(found[1])
        elif found := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{REVISION}/(.+)", path):
            self._send(found[1], found[2])
        else:
            self._refuse(404, "EntryNotFound")

    def _state(self, repository: str) -> None:
        files = self.hub.repositories.get(repository)
        if files is None:
            return self._refuse(401, "RepoNotFound")
        siblings = []
        for name, content in files.items():
            size = self.hub.stated_sizes.get(name, len(content))
            entry = {"rfilename": name, "size": size,
                     "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
            if name.endswith((".safetensors", ".bin")):
                entry["lfs"] = {"size": size, "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
            siblings.append(entry)
        body = json.dumps({"id": repository, "sha": REVISION, "siblings": siblings,
                           "cardData": {"license": "mit", "datasets": ["a-made-up-corpus"]}}).encode()
        self._answer(200, body, {"Content-Type": "application/json"})

    def _send(self, repository: str, name: str) -> None:
        if repository in self.hub.gated:
            return self._refuse(403, "GatedRepo")
        content = self.hub.sent_instead.get(name, self.hub.repositories[repository][name])
        headers = {"ETag": '"x"', "X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}
        status, start = 200, 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(status, content[start:], headers, self.hub.drops.get(name, []),
                     self.hub.stalls.get(name))

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, b"{}", {"X-Error-Code": code})

    def _answer(self, status: int, body: bytes, headers: dict[str, str], drops: list[int] | None = None,
                stall: tuple[threading.Event, threading.Event] | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if drops:
            body = body[:drops.pop(0)]
            self.close_connection = True
        if stall:
            self.wfile.write(body[:len(body) // 2])
            stall[0].set()
            stall[1].wait(60)
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass
