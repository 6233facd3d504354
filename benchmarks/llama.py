"""llama.cpp's server as a process of ours: one model, one slot, asked over HTTP on the loopback."""
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

START_TIMEOUT_S = 120.0


class LlamaServer:
    """Runs until closed. `programs`: the folder that holds llama-server; `model`: a GGUF file."""

    def __init__(self, programs: Path, model: Path, threads: int, context: int = 2048) -> None:
        self._programs, self._model = programs, model
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [programs / "llama-server", "-m", model, "-c", str(context), "-np", "1", "-t", str(threads), "-tb",
             str(threads), "--host", "127.0.0.1", "--port", str(self._port), "--no-ui"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        self._wait()

    def __enter__(self) -> "LlamaServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    def complete(self, prompt: list[int], count: int, cached: bool = False) -> dict:
        """Greedy: the server's reply to `count` new tokens, with `tokens` and its own `timings`."""
        connection = self._ask({"prompt": prompt, "n_predict": count, "temperature": 0, "cache_prompt": cached,
                                "ignore_eos": True, "return_tokens": True})
        try:
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def tokenize(self, text: str) -> list[int]:
        """The text's tokens, those that it spells (`<|endoftext|>`) among them, without any before it."""
        connection = self._ask({"content": text, "add_special": False, "parse_special": True}, "/tokenize")
        try:
            return json.loads(connection.getresponse().read())["tokens"]
        finally:
            connection.close()

    def stream(self, prompt: str, count: int) -> "LlamaStream":
        """Greedy, with the prompt cache: starts and returns at once."""
        return LlamaStream(self._ask({"prompt": prompt, "n_predict": count, "temperature": 0, "cache_prompt": True,
                                      "ignore_eos": True, "stream": True}))

    def _ask(self, request: dict, path: str = "/completion") -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        connection.request("POST", path, json.dumps(request),
                           {"Content-Type": "application/json", "Connection": "close"})
        return connection

    def _wait(self) -> None:
        """Until the model is loaded."""
        end = time.monotonic() + START_TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
            try:
                connection.request("GET", "/health", headers={"Connection": "close"})
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass  # it doesn't listen yet
            finally:
                connection.close()
            time.sleep(0.005)
        self.close()
        raise SystemExit(f"llama-server does not start with {self._model}.")


class LlamaStream:
    """Iterate over it for the server's events, decoded."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._socket = connection.sock

    def __iter__(self) -> Iterator[dict]:
        try:
            for line in self._connection.getresponse():
                if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                    yield json.loads(line[6:])
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            return  # aborted by us
        finally:
            self._connection.close()

    def abort(self) -> None:
        """Ends the request, as an editor does: by hanging up. For any thread."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it had ended


def prefill_seconds(programs: Path, model: Path, tokens: int, threads: int) -> float:
    """llama-bench's own figure for a prompt of random tokens, after its warm-up."""
    out = subprocess.run([programs / "llama-bench", "-m", model, "-p", str(tokens), "-n", "0", "-r", "1", "-t",
                          str(threads), "-o", "json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)[0]["avg_ns"] / 1e9
