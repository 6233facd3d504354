"""A language server process and the editor's end of its pipe, with as little of its own between as can be."""
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class LspPipe:
    """`heard(token, value)` is called, on the reading thread, for each `$/progress`."""

    def __init__(self, options: dict, heard: Callable[[Any, Any], None]) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "gpt2_lsp"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self._heard, self._ids = heard, itertools.count(1)
        self._answers: dict[int, Future] = {}
        threading.Thread(target=self._read, daemon=True).start()
        self.request("initialize", {"processId": None, "rootUri": None, "capabilities": {},
                                    "initializationOptions": options}).result()
        self.notify("initialized", {})

    def request(self, method: str, params: Any) -> Future:
        """The answer to come: the result, with `at`, the time it came, as an attribute."""
        id = next(self._ids)
        self._answers[id] = future = Future()
        future.id = id
        self._send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        return future

    def notify(self, method: str, params: Any) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def cancel(self, future: Future) -> None:
        self.notify("$/cancelRequest", {"id": future.id})

    def close(self) -> None:
        self.request("shutdown", None).result()
        self.notify("exit", None)
        self.process.wait()

    def _send(self, message: dict) -> None:
        body = json.dumps(message).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _read(self) -> None:
        stream = self.process.stdout
        while header := stream.readline():
            if not header.lower().startswith(b"content-length:"):
                continue
            length = int(header.split(b":")[1])
            while stream.readline().strip():
                pass
            message = json.loads(stream.read(length))
            if "method" in message:
                if message["method"] == "$/progress":
                    self._heard(message["params"]["token"], message["params"]["value"])
            else:
                future = self._answers.pop(message["id"])
                future.at = time.perf_counter()
                future.set_result(message.get("result"))
