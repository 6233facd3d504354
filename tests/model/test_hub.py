"""`gpt2-assist pull` as a process of its own against a hub on this machine, over real HTTP."""
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from local_hub import REVISION, LocalHub

from gpt2_assist import config

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import argparse, sys
from gpt2_assist.commands import pull
from gpt2_assist.errors import AssistError
parser = argparse.ArgumentParser(prog="gpt2-assist")
pull.add_parser(parser.add_subparsers())
arguments = parser.parse_args()
try:
    sys.exit(arguments.run(arguments))
except AssistError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
WEIGHTS = "model.safetensors"


@pytest.fixture
def files(tiny_model) -> dict[str, bytes]:
    there = {path.name: path.read_bytes() for path in tiny_model.iterdir()
             if not path.name.startswith("prepared-")}
    return {**there, "README.md": b"A model.", "LICENSE": b"MIT", "pytorch_model.bin": b"never fetched",
            "training.py": b"never fetched", "onnx/model.safetensors": b"never fetched"}


@pytest.fixture
def hub(files):
    with LocalHub({"someone/tiny": files}) as hub:
        yield hub


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


def environment(home: Path, endpoint: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return {**kept, "GPT2_ASSIST_OFFLINE": "",
            "GPT2_ASSIST_HOME": str(home), "HOME": str(home.parent), "HF_ENDPOINT": endpoint, "NO_PROXY": "*",
            "GPT2_ASSIST_CACHE": str(config.cache())}


def run(home: Path, endpoint: str, *arguments: str, before: str = "", **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", before + PROGRAM, *arguments], cwd=ROOT, timeout=110,
                          capture_output=True, text=True, env={**environment(home, endpoint), **variables})


def sentence(result: subprocess.CompletedProcess) -> str:
    assert "Traceback" not in result.stderr, result.stderr
    return result.stderr.strip().splitlines()[-1]


def names_in_store(home: Path) -> set[str]:
    store = home / "models"
    return {path.name for path in store.iterdir() if not path.name.startswith(".")} if store.is_dir() else set()


def test_a_pulled_model_is_there_with_its_card_and_nothing_else(hub, home, files):
    result = run(home, hub.url, "pull", "someone/tiny", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["name"] == "tiny"
    folder = home / "models" / "tiny"
    assert {path.name for path in folder.iterdir()} == {"config.json", "tokenizer.json", WEIGHTS, "README.md",
                                                        "LICENSE", "card.json", "prepared-int8.safetensors",
                                                        "prepared-int8.json"}
    assert set(json.loads((folder / "card.json").read_text())["figures"]) == {"parameters", "int8"}
    assert all((folder / name).read_bytes() == files[name] for name in ("config.json", "tokenizer.json", WEIGHTS))
    card = json.loads((folder / "card.json").read_text())
    assert card["origin"] == f"someone/tiny@{REVISION}"
    assert card["licence"] == "mit" and card["data"] == "a-made-up-corpus"
    assert card["hashes"] == {WEIGHTS: hashlib.sha256(files[WEIGHTS]).hexdigest()}
    assert "100%" in result.stderr
    assert {path.name for path in home.parent.iterdir()} == {"home"}, "nothing is written outside our own folder"
    again = run(home, hub.url, "pull", "someone/tiny")
    assert again.returncode == 2 and "already a model tiny" in sentence(again)


def test_a_short_name_means_the_hubs_repository(home, files):
    with LocalHub({"openai-community/gpt2": files}) as hub:
        assert run(home, hub.url, "pull", "gpt2", "--name", "small").returncode == 0
    assert names_in_store(home) == {"small"}


@pytest.fixture(scope="module")
def llama(tiny_model, tmp_path_factory) -> dict[str, bytes]:
    """The files of a random Llama of a chat, as hubs have them: its texts begin with a token of their own."""
    import transformers
    from tokenizers import Tokenizer, processors
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    tokenizer.add_special_tokens(["<|begin|>", "<|im_start|>", "<|im_end|>"])
    begin = tokenizer.token_to_id("<|begin|>")
    tokenizer.post_processor = processors.TemplateProcessing("<|begin|> $A", special_tokens=[("<|begin|>", begin)])
    tokenizer.save(str(folder / "tokenizer.json"))
    transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        bos_token_id=begin, eos_token_id=tokenizer.token_to_id("<|im_end|>"))).save_pretrained(folder)
    (folder / "special_tokens_map.json").write_text('{"bos_token": "<|begin|>", "eos_token": "<|im_end|>"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_llama_comes_with_what_begins_and_ends_its_texts(home, llama):
    with LocalHub({"someone/llama": {**llama, "original/params.json": b"never fetched"}}) as hub:
        result = run(home, hub.url, "pull", "someone/llama")
    assert result.returncode == 0, result.stderr
    folder = home / "models" / "llama"
    assert {"generation_config.json", "special_tokens_map.json", "chat_template.jinja", "prepared-int8.safetensors"
            } <= {path.name for path in folder.iterdir()}
    assert json.loads((folder / "card.json").read_text())["prompt_prefix"] == "<|begin|>"
    ran = subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "generate", "Once upon a time", "--model",
                          str(folder), "--json", "--max-new-tokens", "3"], capture_output=True, text=True, timeout=100)
    assert json.loads(ran.stdout)["finish_reason"] in ("length", "stop"), ran.stderr


def test_shards_are_fetched_with_their_index(home, files):
    from safetensors.torch import load, save
    tensors = load(files.pop(WEIGHTS))
    names = sorted(tensors)
    parts = {f"model-0000{k + 1}-of-00002.safetensors": names[k::2] for k in range(2)}
    files |= {part: save({name: tensors[name] for name in held}) for part, held in parts.items()}
    files["model.safetensors.index.json"] = json.dumps(
        {"weight_map": {name: part for part, held in parts.items() for name in held}}).encode()
    with LocalHub({"someone/sharded": files}) as hub:
        result = run(home, hub.url, "pull", "someone/sharded")
    assert result.returncode == 0, result.stderr
    assert len(json.loads((home / "models" / "sharded" / "card.json").read_text())["hashes"]) == 2


def test_a_dropped_connection_is_taken_up_where_it_broke(hub, home, files):
    half = len(files[WEIGHTS]) // 2
    hub.drops[WEIGHTS] = [half]
    result = run(home, hub.url, "pull", "someone/tiny")
    assert result.returncode == 0, result.stderr
    first, second = hub.ranges_of(WEIGHTS)
    assert first is None and 0 < int(second.removeprefix("bytes=").rstrip("-")) <= half


@pytest.mark.slow
def test_a_pull_that_broke_off_is_no_model_and_a_later_one_goes_on(hub, home, files):
    half = len(files[WEIGHTS]) // 2
    hub.drops[WEIGHTS] = [half] + [0] * 8
    broken = run(home, hub.url, "pull", "someone/tiny")
    assert broken.returncode == 5 and "run the command again" in sentence(broken)
    assert names_in_store(home) == set()
    assert run(home, hub.url, "models", "list", "--json").stdout.count("tiny") == 0
    hub.drops.clear()
    hub.requests.clear()
    assert run(home, hub.url, "pull", "someone/tiny").returncode == 0
    (asked,) = hub.ranges_of(WEIGHTS)
    assert int(asked.removeprefix("bytes=").rstrip("-")) > 0
    assert hub.ranges_of("config.json") == [], "what was whole is not fetched again"
    assert (home / "models" / "tiny" / WEIGHTS).read_bytes() == files[WEIGHTS]


def test_a_pull_that_was_killed_is_no_model_and_a_later_one_goes_on(hub, home, files):
    reached, released = hub.stalls[WEIGHTS] = threading.Event(), threading.Event()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "pull", "someone/tiny"], cwd=ROOT,
                               env=environment(home, hub.url), stderr=subprocess.DEVNULL)
    assert reached.wait(100)
    process.kill()
    process.wait(60)
    released.set()
    assert names_in_store(home) == set()
    hub.stalls.clear()
    hub.requests.clear()
    assert run(home, hub.url, "pull", "someone/tiny").returncode == 0
    assert hub.ranges_of("config.json") == [], "what was whole is not fetched again"
    assert (home / "models" / "tiny" / WEIGHTS).read_bytes() == files[WEIGHTS]


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
def test_content_that_is_not_what_the_hub_states_is_refused(hub, home, files, name):
    hub.sent_instead[name] = bytes([files[name][0] ^ 1]) + files[name][1:]
    result = run(home, hub.url, "pull", "someone/tiny")
    assert result.returncode == 5 and f"as {name} is not what the hub states" in sentence(result)
    assert names_in_store(home) == set()
    hub.sent_instead.clear()
    assert run(home, hub.url, "pull", "someone/tiny").returncode == 0


def test_no_network(home):
    result = run(home, "http://127.0.0.1:9", "pull", "gpt2")
    assert result.returncode == 5 and "can't be reached" in sentence(result)


def test_the_network_can_be_forbidden(hub, home):
    result = run(home, hub.url, "pull", "gpt2", HF_HUB_OFFLINE="1")
    assert result.returncode == 5 and "HF_HUB_OFFLINE" in sentence(result)
    assert hub.requests == []


def test_an_unknown_repository(hub, home):
    result = run(home, hub.url, "pull", "someone/else")
    assert result.returncode == 5 and "no repository someone/else" in sentence(result)


def test_a_gated_repository(hub, home):
    hub.gated.add("someone/tiny")
    result = run(home, hub.url, "pull", "someone/tiny")
    assert result.returncode == 5 and "gated" in sentence(result) and "HF_TOKEN" in sentence(result)


def test_a_repository_with_only_a_pickle_names_the_import(hub, home, files):
    del files[WEIGHTS]
    result = run(home, hub.url, "pull", "someone/tiny")
    assert result.returncode == 3 and "gpt2-assist models import" in sentence(result)


def test_another_architecture_is_refused_before_its_weights_are_fetched(hub, home, files):
    files["config.json"] = json.dumps({"model_type": "mamba"}).encode()
    result = run(home, hub.url, "pull", "someone/tiny")
    assert result.returncode == 3 and "mamba" in sentence(result)
    assert hub.ranges_of(WEIGHTS) == []
    assert not [path for path in (home / "models").iterdir() if path.is_dir()]


def test_a_model_larger_than_the_disk_is_refused_before_it_is_fetched(hub, home):
    hub.stated_sizes[WEIGHTS] = 10 ** 18
    result = run(home, hub.url, "pull", "someone/tiny")
    assert result.returncode == 6 and "MB are free" in sentence(result)
    assert hub.ranges_of("config.json") == []


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes can't be limited there")
def test_a_disk_that_fills_up_on_the_way(hub, home, files):
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(files[WEIGHTS]) // 2},) * 2)\n"
    result = run(home, hub.url, "pull", "someone/tiny", before=limit)
    assert result.returncode == 6 and "can't be written" in sentence(result)
    assert names_in_store(home) == set()
    assert run(home, hub.url, "pull", "someone/tiny").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes can't be limited there")
def test_a_disk_too_full_to_prepare_the_model_does_not_undo_the_pull(hub, home, files):
    import torch
    from safetensors.torch import load, save
    small = save({name: value.to(torch.bfloat16) for name, value in load(files[WEIGHTS]).items()})
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(small) + 10_000},) * 2)\n"
    with LocalHub({"someone/small": {**files, WEIGHTS: small}}) as hub:
        result = run(home, hub.url, "pull", "someone/small", before=limit)
    assert result.returncode == 0 and "small is ready" in result.stdout
    assert "can't be prepared" in result.stderr and "The model itself is there." in result.stderr
    names = {path.name for path in (home / "models" / "small").iterdir()}
    assert WEIGHTS in names and not any("prepared" in name for name in names)


def test_something_that_is_no_name(hub, home):
    result = run(home, hub.url, "pull", "gpt5")
    assert result.returncode == 2 and "OWNER/NAME" in sentence(result)
    assert hub.requests == []
