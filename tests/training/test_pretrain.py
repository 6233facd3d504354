"""A whole training, from text files to weights, in a process of its own that is killed without warning."""
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gpt2_assist.errors import DataError
from gpt2_assist.training.checkpoint import load_checkpoint, save_checkpoint
from gpt2_assist.training.pretraining.pretrain import pretrain
from gpt2_assist.training.pretraining.recipe import read_recipe

RECIPE = """
name = "nano"
description = "for a test"
held_out = 0.1
[shape]
n_layer = 2
n_head = 2
n_embd = 16
n_ctx = 32
vocab_size = 300
[schedule]
tokens = 12800
batch_tokens = 256
short_sequence = 8
long_from = 0.5
matrix_rate = 0.02
other_rate = 0.01
warmup_steps = 5
save_minutes = 0.0
[[source]]
name = "tales"
path = "tales.txt"
weight = 1
licence = "none"
"""

PROGRAM = """
import sys
from pathlib import Path
from gpt2_assist.training.pretraining.pretrain import pretrain
from gpt2_assist.training.pretraining.recipe import read_recipe
pretrain(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]), 2, lambda line: print(line, flush=True))
"""


def write_recipe(folder: Path) -> Path:
    tales = "\n<|endoftext|>\n".join(f"The fox met {name} and said: {name}, good day to you.\n" * 12
                                     for name in ("Anna", "Bert", "Cleo", "Dora", "Emil", "Fred", "Gwen", "Hugo"))
    (folder / "tales.txt").write_text(tales)
    path = folder / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def recipe(tmp_path) -> Path:
    return write_recipe(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """What comes of the recipe."""
    folder = tmp_path_factory.mktemp("undisturbed")
    pretrain(read_recipe(write_recipe(folder)), folder / "out", 2, lambda line: None)
    return folder / "out"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoint.safetensors")[0]


@pytest.mark.slow
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(recipe, undisturbed, tmp_path):
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", PROGRAM, str(recipe), str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("step 20 "):
                process.send_signal(signal.SIGKILL)
                break
    assert process.wait(60) == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    expected = weights(undisturbed)
    assert all(torch.equal(value, expected[name]) for name, value in weights(killed).items())


def test_it_learns_and_keeps_a_log(undisturbed):
    losses = [json.loads(line)["loss"] for line in (undisturbed / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 50 and losses[-1] < 0.7 * losses[0]


def test_a_recipe_may_have_been_edited_anywhere(recipe):
    expected = read_recipe(recipe)
    recipe.write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_recipe(recipe) == expected


def test_a_damaged_checkpoint_and_an_empty_corpus_get_a_sentence(recipe, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"a": torch.zeros(100)}, {"step": 1})
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(DataError, match="damaged"):
        load_checkpoint(path)
    (tmp_path / "tales.txt").write_text("too short")
    with pytest.raises(DataError, match="tokens"):
        pretrain(read_recipe(recipe), tmp_path / "out", 1, lambda line: None)
