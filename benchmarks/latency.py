"""What somebody waits for: first tokens, a cold start, the client's own start, status and cancel.

Runs a daemon of its own in temporary folders. `python benchmarks/latency.py [--model M] [--quick]`
"""
import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from table import median, quantile, show

from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, SampleDone

PROMPT = ("The rain had stopped by the time they reached the village, and the children ran out of the houses to see "
          "who had come. ")
SCRIPTS = Path(sys.executable).parent


def command_ms(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([str(SCRIPTS / "gpt2-assist"), *arguments], check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - began)


def cold_ms(model: str) -> float:
    """No daemon → `gpt2-assist generate` prints its first byte."""
    subprocess.run([str(SCRIPTS / "gpt2-assist"), "daemon", "stop"], check=True, stdout=subprocess.DEVNULL)
    began = time.perf_counter()
    process = subprocess.Popen([str(SCRIPTS / "gpt2-assist"), "generate", PROMPT, "--model", model,
                                "--max-new-tokens", "8"], stdout=subprocess.PIPE)
    os.read(process.stdout.fileno(), 1)
    elapsed = 1000 * (time.perf_counter() - began)
    process.communicate()
    return elapsed


def first_token_ms(client: Client, model: str, prompt: str) -> float:
    began = time.perf_counter()
    elapsed = 0.0
    for message in client.generate(model, prompt, Generation(max_new_tokens=4, seed=1)):
        if isinstance(message, Chunk) and not elapsed:
            elapsed = 1000 * (time.perf_counter() - began)
    return elapsed


def cancel_ms(client: Client, model: str) -> tuple[float, float]:
    """(from cancel to the sample's end, the time of one token) in one generation."""
    stream = client.generate(model, PROMPT, Generation(max_new_tokens=100_000, seed=1, stop_tokens=[]))
    times, cancelled, ended = [], 0.0, 0.0
    for message in stream:
        now = time.perf_counter()
        if isinstance(message, Chunk):
            times += [now] * len(message.tokens)
            if len(times) >= 40 and not cancelled:
                cancelled = time.perf_counter()
                stream.cancel()
        elif isinstance(message, SampleDone):
            ended = now
        elif isinstance(message, Finished):
            break
    return (1000 * (ended - cancelled) if cancelled else 0.0), 1000 * (times[-1] - times[0]) / max(1, len(times) - 1)


def status_under_load_ms(model: str, count: int) -> list[float]:
    """`status` over an open connection while another client generates."""
    stop = threading.Event()

    def load() -> None:
        with Client.connect("load") as client:
            while not stop.is_set():
                for _ in client.generate(model, PROMPT * 20, Generation(max_new_tokens=200), "bulk"):
                    pass

    thread = threading.Thread(target=load)
    thread.start()
    with Client.connect("status") as client:
        while not any(worker["state"] == "generating" for worker in client.status()["workers"]):
            pass
        times = []
        for _ in range(count):
            began = time.perf_counter()
            client.status()
            times.append(1000 * (time.perf_counter() - began))
            time.sleep(0.01)
    stop.set()
    thread.join()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    few, many = (2, 10) if args.quick else (7, 100)
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        os.environ["GPT2_ASSIST_HOME"] = f"{folder}/home"
        os.environ["GPT2_ASSIST_RUNTIME"] = f"{folder}/run"
        rows = []

        def row(what: str, times: list[float], wanted: str) -> None:
            rows.append([what, median(times), quantile(times, 0.95), wanted])
            print(f"{what}: {median(times):.1f} ms", file=sys.stderr)

        command_ms("daemon", "start")
        row("cold start to first token (no daemon)", [cold_ms(args.model) for _ in range(few)], "3000")
        with Client.connect("benchmark") as client:
            first_token_ms(client, args.model, PROMPT)
            row("warm first token, 40 new prompt tokens",
                [first_token_ms(client, args.model, f"{number} {PROMPT}") for number in range(many)], "30")
            text = PROMPT * 8
            first_token_ms(client, args.model, text)
            keys = "She looked at the stranger for a long while, and then she said that his father had died."
            row("warm first token, one more key in a text of 300 tokens",
                [first_token_ms(client, args.model, text + keys[:number]) for number in range(1, min(many, len(keys)))],
                "30")
            cancels = [cancel_ms(client, args.model) for _ in range(few * 3)]
            row("cancel to idle", [ended for ended, _ in cancels], "one token")
            row("one token", [token for _, token in cancels], "")
        row("gpt2-assist --version", [command_ms("--version") for _ in range(few * 3)], "100")
        row("gpt2-assist daemon status", [command_ms("daemon", "status") for _ in range(few * 3)], "100")
        row("status while generating", status_under_load_ms(args.model, many), "50")
        command_ms("daemon", "stop")
    show("Latency in milliseconds", ["", "median", "95 %", "wanted"], rows)


if __name__ == "__main__":
    main()
