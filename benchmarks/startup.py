"""From nothing loaded to the first token of a stored model."""
import time
from pathlib import Path

from engines import prepared_file
from llama import LlamaServer
from own_daemon import daemon

from gpt2_assist.ipc.messages import Chunk, Finished, Generation

PROMPT = "The rain had stopped by the time they reached the village"


def worker_start_s(folder: Path, precision: str, threads: int) -> float:
    """A daemon without a worker is asked for text: seconds to the first chunk, the model being stored already.

    Raises AssistError as the daemon does.
    """
    with daemon(threads) as client:
        prepared_file(folder, precision)
        began = time.perf_counter()
        first = 0.0
        for message in client.generate(str(folder), PROMPT, Generation(max_new_tokens=8, temperature=0.0),
                                       precision=precision, device="cpu"):
            if isinstance(message, (Chunk, Finished)):
                first = first or time.perf_counter() - began
        return first


def llama_start_s(programs: Path, model: Path, threads: int) -> float:
    """llama-server is started and asked for one token as soon as it is healthy."""
    began = time.perf_counter()
    with LlamaServer(programs, model, threads) as server:
        server.complete(list(range(1000, 1010)), 1)
        return time.perf_counter() - began
