"""One base and several adapters at once, by real workers: each request has its own, and none is another's."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gpt2_assist.architectures.description import MATRICES
from gpt2_assist.daemon.worker.adapters import MOST, Adapters
from gpt2_assist.daemon.worker.request import Vocabulary
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.errors import AssistError, ModelError, UsageError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Adapted, Chunk, Generation
from gpt2_assist.model.adapter import LoraShape, read_adapter
from gpt2_assist.model.card import Card, write_card
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.store import find_model, list_models
from gpt2_assist.model.weights import load_model, load_weights, stored_tensors
from gpt2_assist.runs import Run, RunRecord, locked, new_run
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.adapted_weights import merged
from gpt2_assist.training.finetuning.lora import LoraMatrix, add_adapter, write_adapter

PROMPT = "The model"


def put_adapter(run: Run, step: int, base: Path, seed: int, card: Card | None = None) -> None:
    """The best of a run: an adapter that changes much."""
    model, shape, dice = load_model(base), LoraShape(4 + seed, 8.0, MATRICES), torch.Generator().manual_seed(seed)
    add_adapter(model, shape, seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoraMatrix):
                module.up.normal_(0, 0.3, generator=dice)
    write_adapter(run.model_of(step), model, shape, str(base))
    write_card(run.model_of(step), card or Card())
    run.write_best({"step": step, "loss": 1.0})


def run_of(name: str, base: Path, seed: int) -> Run:
    run = new_run(name, RunRecord(str(base), str(base)))
    shutil.copyfile(base / "tokenizer.json", run.tokenizer)
    put_adapter(run, 1, base, seed)
    return run


@pytest.fixture(scope="module", autouse=True)
def own_daemon():
    """One that looks for runs where these tests put them."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        patch.setenv("GPT2_ASSIST_RUNTIME", folder)
        yield
        subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], check=True,
                       stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def runs(tiny_model) -> list[Run]:
    return [run_of(f"adapter{seed}", tiny_model, seed) for seed in (1, 2)]


@pytest.fixture
def client():
    with Client.connect("test") as client:
        yield client


def text_of(client: Client, model: str, count: int = 40, seed: int = 5, on_chunk=lambda: None, **more) -> str:
    settings = Generation(max_new_tokens=count, seed=seed, **more)
    pieces = []
    for message in client.generate(model, PROMPT, settings, precision="fp32"):
        if isinstance(message, Chunk):
            pieces.append(message.text)
            on_chunk()
    return "".join(pieces)


def test_each_request_has_the_adapter_that_it_names_and_one_worker_serves_them_all(runs, client, tiny_model):
    names = [str(tiny_model), "adapter1", "adapter2", "adapter1@0.5", "adapter1@0"]
    alone = {name: text_of(client, name) for name in names}
    assert len(set(alone.values())) == 4 and alone["adapter1@0"] == alone[str(tiny_model)]
    together: dict[str, str] = {}

    def ask(name: str) -> None:
        with Client.connect("test") as own:
            together[name] = text_of(own, name)
    threads = [threading.Thread(target=ask, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert together == alone
    worker, = (worker for worker in client.status()["workers"] if worker["precision"] == "fp32")
    assert worker["adapters"] == ["adapter1", "adapter1@0.5", "adapter2"]
    shown = subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "status"], capture_output=True,
                           text=True)
    assert "adapters: adapter1, adapter1@0.5, adapter2" in shown.stdout


def test_the_text_is_that_of_the_model_that_has_the_adapter_in_its_weights(runs, client, tiny_model, tmp_path):
    config, weights = load_weights(tiny_model)
    for strength, name in ((1.0, "adapter1"), (0.5, "adapter1@0.5")):
        whole = tmp_path / str(strength)
        shutil.copytree(tiny_model, whole, ignore=shutil.ignore_patterns("prepared*"))
        changed = merged(weights, read_adapter(find_model(name).adapter, config), strength)
        save_file({key: value.contiguous() for key, value in stored_tensors(changed, config)},
                  whole / "model.safetensors")
        assert text_of(client, name, temperature=0.0) == text_of(client, str(whole), temperature=0.0)


def test_a_killed_worker_goes_on_with_the_same_adapter(runs, client):
    whole, killed = text_of(client, "adapter2", 200), []

    def kill() -> None:
        if not killed:
            killed.append(client.status()["workers"])
            for worker in killed[0]:
                os.kill(worker["pid"], signal.SIGKILL)
    with Client.connect("test") as other:
        assert text_of(other, "adapter2", 200, on_chunk=kill) == whole
    assert killed


def test_a_better_adapter_is_served_at_once_by_the_same_worker(tiny_model, client):
    run = run_of("growing", tiny_model, 3)
    first = text_of(client, "growing")
    pids = {worker["pid"] for worker in client.status()["workers"]}
    put_adapter(run, 2, tiny_model, 4, Card(stop_strings=["e"]))
    second = text_of(client, "growing")
    assert first != second and "e" in first and "e" not in second, "the adapter's own card counts"
    shutil.rmtree(run.model_of(2))
    put_adapter(run, 2, tiny_model, 5)
    third = text_of(client, "growing")
    assert third not in (first, second), "another one in the same folder"
    assert {worker["pid"] for worker in client.status()["workers"]} == pids


def test_what_is_wrong_is_said_in_a_sentence_and_the_base_goes_on(runs, client, tiny_model):
    broken = run_of("broken", tiny_model, 1)
    weights = broken.model_of(1) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        read_adapter(broken.model_of(1), read_config(tiny_model))
    for name, words in (("broken", "damaged or cut short"), ("adapter1@much", "strength"), ("adapter1@-1", "strength"),
                        ("adapter1@nan", "strength"), ("nothing@1", "no model")):
        with pytest.raises(AssistError, match=words):
            text_of(client, name)
    assert text_of(client, str(tiny_model)) and text_of(client, "adapter1")


def test_a_run_without_its_base_says_so_and_a_whole_model_has_no_strength(tiny_model, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    run_of("lost", base, 1)
    assert "lost" in [model.name for model in list_models()]
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="adapter of the model .*base, which is not here"):
        find_model("lost")
    assert "lost" not in [model.name for model in list_models()]
    shutil.copytree(tiny_model, new_run("adapterless", RunRecord("x", "x")).model_of(1))
    assert find_model("adapterless").adapter is None
    with pytest.raises(UsageError, match="changed the whole model"):
        find_model("adapterless@0.5")


def test_the_adapter_used_longest_ago_goes_unless_it_is_in_use(runs, tiny_model):
    engine = TorchEngine(*load_weights(tiny_model), "fp32", "cpu")
    adapters = Adapters(engine, Vocabulary(TextTokenizer.from_folder(tiny_model), Card()))
    for place in range(MOST + 2):
        adapters.tell(Adapted(f"at {place}", str(runs[0].model_of(1)), 1 + place / 100, 0))
    assert adapters.of("something else", set())[0] == 0
    numbers = [adapters.of(f"at {place}", {1})[0] for place in range(MOST + 2)]
    assert numbers == list(range(1, MOST + 3))
    assert len(adapters.names()) == MOST and {"at 0"} < set(adapters.names()) and "at 1" not in adapters.names()
    assert [adapters.of(f"at {place}", set())[0] for place in (0, 5, 1)] == [1, 6, MOST + 3]
    engine.close(engine.open([1, 2, 3], Sampling(), adapter=1))


def assist(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gpt2_assist.cli", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("named", ["ouroboros", pytest.param("ouroboros@0.5", marks=pytest.mark.slow)])
def test_a_run_that_begins_with_itself_doesnt_replace_itself(tiny_model, tmp_path, named):
    run = run_of("ouroboros", tiny_model, 7)
    (tmp_path / "notes.txt").write_text("Some words to learn from.\n" * 400)
    said = assist("finetune", str(tmp_path / "notes.txt"), "--from", named, "--run", "ouroboros", "--overwrite")
    assert said.returncode == 2 and "another name than ouroboros" in said.stderr
    assert read_adapter(run.model(), read_config(tiny_model))
    assert assist("runs", "remove", "ouroboros").returncode == 0


def test_a_run_that_is_being_trained_is_not_removed(tiny_model):
    run = run_of("busy", tiny_model, 8)
    with locked(run):
        said = assist("runs", "remove", "busy")
        assert said.returncode == 2 and "being trained" in said.stderr and run.model()
    assert assist("runs", "remove", "busy").returncode == 0


def test_a_full_run_made_anew_is_another_model(client, tiny_model, other_tiny_model):
    said = []
    for folder in (tiny_model, other_tiny_model):
        run = new_run("anew", RunRecord(str(folder), str(folder)))
        shutil.copyfile(folder / "tokenizer.json", run.tokenizer)
        shutil.copytree(folder, run.model_of(1))
        for path in run.model_of(1).glob("prepared-*"):
            path.unlink()
        run.write_best({"step": 1, "loss": 1.0})
        said.append((text_of(client, "anew"), text_of(client, str(folder))))
        shutil.rmtree(run.folder)
    assert all(run == model for run, model in said) and said[0] != said[1]


def test_a_copy_that_a_file_manager_made_of_a_runs_model_is_none(tiny_model):
    run = run_of("copied", tiny_model, 9)
    shutil.copytree(run.model_of(1), run.folder / "models" / "step-1 copy")
    assert run.model() == run.model_of(1)
