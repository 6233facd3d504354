"""Typing in an editor, over the language server's pipe, beside llama-server asked as llama.vscode asks.

The same keys (typist.py) go to gpt2-lsp, as changes of a document each with a streamed question, and to llama-server
(Q8_0, prompt cache on), as a request a key for the text before the cursor; in turn, a block of keys each. First each
answer is awaited, then keys come at a fixed rate and each question cancels the one before. A completion is of sixteen
tokens. Then what only an editor sees: how soon a typed-along key is answered, how soon the model is idle when nobody
looks any more, tokens that the model computes for a key.

Random weights write nonsense, so with them every filter but the count of tokens and the text's own lines is at its
mildest (no confidence asked for, whole paragraphs); what a filter still ends is counted under "tokens".

`python benchmarks/editor.py --corpora FOLDER --cache FOLDER [--llama FOLDER] [--bpe FOLDER] [--models mini,124M]
[--keys 300] [--rate 8] [--quick]`
"""
import argparse
import math
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import peers as peer_files
from contest import cpu_seconds
from keystrokes import COLUMNS, Account, Reply, Theirs, compare, play, rows, writing
from llama import LlamaServer
from lsp_pipe import LspPipe
from own_daemon import daemon
from table import quantile, show

from gpt2_assist.ipc.client import Client
from gpt2_assist.text.tokenizer import TextTokenizer

NEW_TOKENS = 16
TYPED_ALONG = 200
CANCELS = 60
URI = "untitled:typed"


@dataclass
class Shown(Reply):
    """A key's answer and its text."""

    text: str = ""


class Editor:
    """An editor with one document, whose text before the cursor is set key by key."""

    def __init__(self, client: Client, model: Path) -> None:
        self._client, self.model = client, str(model)
        self.daemon_pid = client.status()["pid"]
        client.load(self.model)
        self._replies: dict[int, Shown] = {}
        self._text, self._version, self._question = "", 0, None
        self.pipe = LspPipe({"streaming": True, "model": self.model, "confidence": 0, "maxTokens": NEW_TOKENS,
                             "proseUnit": "paragraph", "maxLines": 100}, self._heard)

    def open(self, text: str) -> None:
        if self._version:
            self.pipe.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        self._text, self._version = text, 1
        self.pipe.notify("textDocument/didOpen", {"textDocument": {
            "uri": URI, "languageId": "plaintext", "version": 1, "text": text}})

    def ask(self, text: str) -> tuple[Shown, threading.Thread]:
        """Has the text before the cursor become `text`, and asks. The thread ends with the answer."""
        reply = Shown()
        if self._question is not None and not self._question.done():
            self.pipe.cancel(self._question)
        self._change(text)
        self._replies[self._version] = reply
        lines = text.split("\n")
        self._question = self.pipe.request("gpt2/inlineCompletion", {
            "textDocument": {"uri": URI, "version": self._version},
            "position": {"line": len(lines) - 1, "character": len(lines[-1])}, "context": {"triggerKind": 2},
            "partialResultToken": self._version})
        thread = threading.Thread(target=self._wait, args=(self._question, reply))
        thread.start()
        return reply, thread

    def dismiss(self) -> None:
        self.pipe.notify("gpt2/dismissed", {"textDocument": {"uri": URI}})

    def cpu(self) -> float:
        return cpu_seconds(self.daemon_pid) + cpu_seconds(self.pipe.process.pid)

    def computed(self) -> int:
        """Tokens that the model has run and written so far."""
        return sum(worker["computed_tokens"] for worker in self._client.status()["workers"])

    def busy(self) -> bool:
        return any(worker["state"] != "idle" for worker in self._client.status()["workers"])

    def _change(self, text: str) -> None:
        old = self._text
        same = next((n for n, (a, b) in enumerate(zip(old, text)) if a != b), min(len(old), len(text)))
        self._version, self._text = self._version + 1, text
        self.pipe.notify("textDocument/didChange", {
            "textDocument": {"uri": URI, "version": self._version},
            "contentChanges": [{"range": {"start": _position(old, same), "end": _position(old, len(old))},
                                "text": text[same:]}]})

    def _heard(self, token: int, value: dict) -> None:
        reply = self._replies[token]
        reply.first = min(reply.first, reply.arrived())

    def _wait(self, question, reply: Shown) -> None:
        result = question.result()
        if result and result["items"]:
            reply.text = result["items"][0]["insertText"]
            reply.whole = question.at - reply.began
            reply.first = min(reply.first, reply.whole)

    def close(self) -> None:
        self.pipe.close()


def typed_along(editor: Editor, text: str) -> list[float]:
    """Milliseconds to the answer of keys that type what is shown."""
    found, shown = [], ""
    while len(found) < TYPED_ALONG:
        if not shown:
            reply, thread = editor.ask(text)
            thread.join()
            shown = reply.text
            if not shown:
                text += "and "
                continue
            time.sleep(0.02)  # a key
        text, shown = text + shown[0], shown[1:]
        if shown:
            reply, thread = editor.ask(text)
            thread.join()
            found.append(1000 * reply.first)
    return found


def cancels(editor: Editor, texts: list[str]) -> list[float]:
    """Milliseconds from "nobody looks" to an idle model, the pipe, the daemon and its status included."""
    found = []
    for text in texts[:CANCELS]:
        reply, thread = editor.ask(text)
        while not reply.first < math.inf and thread.is_alive():
            time.sleep(0.0005)
        began = time.perf_counter()
        editor.dismiss()
        while editor.busy():
            pass
        found.append(1000 * (time.perf_counter() - began))
        thread.join()
    return found


def _position(text: str, offset: int) -> dict:
    return {"line": text.count("\n", 0, offset), "character": offset - text.rfind("\n", 0, offset) - 1}


def measure(name: str, peers: peer_files.Peers, args: argparse.Namespace) -> None:
    """Prints one model's tables."""
    count = 60 if args.quick else args.keys
    with daemon(args.threads) as client:
        editor = Editor(client, peers.model(name))
        sides: dict[str, Editor | Theirs] = {"gpt2-lsp": editor}
        if peers.llama:
            sides["llama-server Q8_0"] = Theirs(LlamaServer(peers.llama, peers.gguf(name, "Q8_0"), args.threads))
        try:
            table, notes = [], []
            for rate in (0.0, args.rate):
                texts = writing(args.corpora, False, count, seed=int(rate))
                editor.open("")
                for side in sides.values():
                    play(side, texts[:1], 0, Account())
                before, answered = editor.computed(), texts[1:]
                accounts = compare(sides, answered, rate)
                tokens = (editor.computed() - before) / len(answered)
                manner = f"{rate:g} keys/s" if rate else "awaited"
                table += rows(manner, accounts)
                tokenizer = TextTokenizer.from_folder(peers.model(name))
                shown = [(len(tokenizer.encode(reply.text)), 1000 * reply.whole)
                         for reply in accounts["gpt2-lsp"].replies if reply.text]
                full = [ms for length, ms in shown if length >= NEW_TOKENS - 1]
                notes.append([manner, tokens, sum(length for length, _ in shown) / max(1, len(shown)),
                              100 * len(shown) / len(answered), len(full), quantile(full, 0.5) if full else None])
            editor.open(texts[0])
            along, idle = typed_along(editor, texts[0]), cancels(editor, texts[1:])
        finally:
            for side in sides.values():
                side.close()
    show(f"{name}: {count} keys each, {args.threads} threads; milliseconds after the key", COLUMNS, table)
    show(f"{name}: gpt2-lsp", ["", "model tokens a key", "tokens shown", "keys answered with text, %",
                                    "texts of 15 tokens and more", "those whole, p50 ms"], notes)
    show(f"{name}: gpt2-lsp; milliseconds", ["", "p50", "p95", "p99"],
         [[what, *(quantile(times, share) for share in (0.5, 0.95, 0.99))]
          for what, times in (("typed along → answer", along), ("dismissed → idle, seen through status", idle))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser)
    parser.add_argument("--corpora", type=Path, required=True, help="a folder with novels.txt.xz")
    parser.add_argument("--models", default="mini,124M", help="mini, 124M or 355M, with commas")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--rate", type=float, default=8.0, help="keys a second")
    parser.add_argument("--quick", action="store_true", help="60 keys")
    args = parser.parse_args()
    with peer_files.opened(args) as peers:
        for name in args.models.split(","):
            print(f"Typing with {name}.", file=sys.stderr)
            measure(name, peers, args)


if __name__ == "__main__":
    main()
