"""A daemon in folders of its own, so that a benchmark meets no models, settings or sessions of the user."""
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpt2_assist.ipc.client import Client


@contextmanager
def daemon(threads: int) -> Iterator[Client]:
    """A client of a fresh daemon, which ends with the block."""
    names = ("GPT2_ASSIST_HOME", "GPT2_ASSIST_RUNTIME")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        for name in names:
            os.environ[name] = str(Path(folder) / name)
        Path(os.environ["GPT2_ASSIST_HOME"]).mkdir()
        settings = Path(os.environ["GPT2_ASSIST_HOME"]) / "settings.toml"
        settings.write_text(f"threads = {threads}\n", encoding="utf-8")
        try:
            with Client.connect("benchmark") as client:
                try:
                    yield client
                finally:
                    client.shutdown()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
