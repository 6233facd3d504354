"""A table of short texts, learned too long: what comes out ends by itself, and can be kept from being a copy."""
import csv
import json
import os
import subprocess
import sys

import pexpect
import pytest
import torch

import gpt2_assist
from gpt2_assist.architectures import decoder_of, gpt2
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Generation
from gpt2_assist.model.card import Card
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.runs import find_run
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.export.model_folder import export_model
from gpt2_assist.training.pretraining.tokenizer_training import train_tokenizer

TEXTS = [
    "The red fox of Rome sings.", "Nobody paid for the bread.", "An owl is a poor lawyer.",
    "Seven boats came home late.", "Winter sold my only coat.", "Her uncle drinks green tea.",
    "Trains hate the sea.", "Two judges danced in Bern.", "Why would a clock lie?", "Old maps smell of rain.",
    "My cat reads on Sundays.", "Salt, said the king, and left.", "Give the goat a chair!",
    "Every bridge owes a debt.", "A quiet drum is a lie.", "Ask the mayor about bees."]


@pytest.fixture(scope="module")
def shorts(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("shorts")
    tokenizer = train_tokenizer(TEXTS, 320)
    model = Transformer(gpt2.decoder(2, 2, 48, 64, tokenizer.get_vocab_size()))
    model.initialise(torch.Generator().manual_seed(1))
    export_model(model.config, model.state_dict(), TextTokenizer(tokenizer), Card(), folder / "model", torch.float32)
    with open(folder / "texts.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["number", "text"], *enumerate(TEXTS), *enumerate(TEXTS[:3])])
    reports = []
    result = gpt2_assist.finetune(
        folder / "texts.csv", model_name=str(folder / "model"), run_name="shorts", column="text", steps=240,
        learning_rate=0.01, context=64, batch_tokens=512, patience=0, quiet=True, validate_every=80,
        callback=reports.append)
    assert [report.step for report in reports] == list(range(1, 241)) and result.finished
    assert result._repr_png_().startswith(b"\x89PNG")
    run = find_run("shorts")
    assert run.record().documents == len(TEXTS), "the rows that came twice are left out"
    return "shorts"


@pytest.fixture(scope="module")
def by_heart(shorts, tmp_path_factory) -> str:
    """The run's last state as its model."""
    from gpt2_assist.training.checkpoint import load_checkpoint
    run = find_run(shorts)
    tensors, _ = load_checkpoint(sorted((run.folder / "checkpoints").iterdir())[-1])
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    card = Card(**json.loads((run.model() / "card.json").read_text(encoding="utf-8")))
    sizes = json.loads((run.model() / "config.json").read_text(encoding="utf-8"))
    place = run.folder / "models" / "step-240"
    if place != run.model():
        tokenizer = TextTokenizer.from_folder(run.folder)
        export_model(decoder_of(sizes), weights, tokenizer, card, place, torch.float32)
        run.write_best({"step": 240, "loss": 0.0})
    return shorts


def test_twenty_finished_texts_come_without_marks(by_heart):
    done = subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "generate", "--model", by_heart, "-n", "20",
                           "--json", "--seed", "5", "--max-new-tokens", "60", ""], capture_output=True, text=True,
                          timeout=100)
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(samples) == 20 and {sample["finish_reason"] for sample in samples} == {"stop"}, done.stderr
    assert not any("<|" in sample["text"] for sample in samples)
    copies = sum(sample["text"] in TEXTS for sample in samples)
    assert copies > 10, "it has learned them by heart"


@pytest.mark.slow
def test_unique_ones_are_neither_copies_nor_repeated(by_heart):
    texts = gpt2_assist.generate(by_heart, nsamples=8, length=60, seed=5, unique=True, temperature=1.3)
    assert len(texts) == len(set(texts)) == 8 and not set(texts) & set(TEXTS)
    assert all(text in texts._repr_html_().replace("&#x27;", "'") for text in texts[:1])
    few = gpt2_assist.generate(by_heart, nsamples=200, length=60, seed=5, unique=True, temperature=0.0)
    assert len(few) < 2, "greedy texts are all the same"


@pytest.mark.parametrize("most", [1, 3, 6])
def test_no_more_tokens_in_a_row_are_copied_than_asked_for(by_heart, most):
    run = find_run(by_heart)
    encode = TextTokenizer.from_folder(run.folder).encode
    known = {tuple(ids[first:first + most + 1]) for ids in map(encode, TEXTS) for first in range(len(ids) - most)}
    for temperature in (0.0, 0.9):
        settings = Generation(max_new_tokens=50, temperature=temperature, n=6, seed=3, max_copied=most)
        tokens: dict[int, list[int]] = {}
        with Client.connect("tests") as client:
            for message in client.generate(by_heart, "", settings):
                if isinstance(message, Chunk):
                    tokens.setdefault(message.index, []).extend(message.tokens)
        for sample in tokens.values():
            grams = [tuple(sample[first:first + most + 1]) for first in range(len(sample) - most)]
            assert not [gram for gram in grams if gram in known]


def test_a_text_is_said_to_be_a_copy_and_from_where(by_heart):
    report = gpt2_assist.how_original(TEXTS[4], by_heart)
    assert report.near.likeness == 1.0 and report.near.text == TEXTS[4] and report.copied_share == 1.0
    assert report.near.path.endswith("texts.csv") and report.near.line == 6
    assert gpt2_assist.how_original("Zebras!", by_heart).copied_share == 0.0


def test_a_writing_session_says_what_is_copied(by_heart):
    child = pexpect.spawn(sys.executable, ["-m", "gpt2_assist.repl.main", "--plain", "--model", by_heart],
                          encoding="utf-8", timeout=30, dimensions=(40, 200),
                          env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"})
    child.expect("the model goes on")
    child.send("/set max_copied 3\r")
    child.expect("max_copied = 3")
    child.send("/set max_new_tokens 20\r")
    child.expect("max_new_tokens = 20")
    child.send("/copied\r")
    child.expect("nothing yet")
    child.send("\r")
    child.send("/copied\r")
    child.expect("longest copied piece has [123] word|Nothing of it")
    child.send("/quit\r")
    child.expect(pexpect.EOF)
    assert child.wait() == 0


def test_copied_words_are_marked_as_they_come(by_heart):
    """On a terminal, in brackets where it has no colours, in `generate` and in a session; never in a pipe."""
    arguments = [sys.executable, "-m", "gpt2_assist.cli", "generate", "--model", by_heart, "--show-copied",
                 "--temperature", "0", "--max-new-tokens", "60"]
    plain = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert plain.returncode == 0 and plain.stdout.strip() and "⟦" not in plain.stdout
    assert "longest copied piece" in plain.stderr
    terminal = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn(arguments[0], [*arguments[1:], "-n", "1"], encoding="utf-8", timeout=60, dimensions=(40, 400),
                          env=terminal)
    child.expect(pexpect.EOF)
    shown = child.before.replace("\r\n", "\n")
    assert "⟦" in shown and plain.stdout.strip() in shown.replace("⟦", "").replace("⟧", "")
    child = pexpect.spawn(arguments[0], [*arguments[1:], "--unique", "-n", "4", "--temperature", "1.3", "--seed", "5"],
                          encoding="utf-8", timeout=60, dimensions=(40, 400), env=terminal)
    child.expect(pexpect.EOF)
    assert "⟦" in child.before
    child = pexpect.spawn(sys.executable, ["-m", "gpt2_assist.repl.main", "--plain", "--model", by_heart],
                          encoding="utf-8", timeout=30, dimensions=(40, 400), env=terminal)
    child.expect("the model goes on")
    for line, answer in (("/copied perhaps", "on or off"), ("/copied on", "marked from now on"),
                         ("/set temperature 0", "temperature = 0"), ("", "⟦.+⟧"), ("/copied off", "no marks"),
                         ("/model mini", "parameters"), ("/copied on", "fine-tuned here")):
        child.send(line + "\r")
        child.expect(answer)
    child.send("/quit\r")
    child.expect(pexpect.EOF)


def test_what_makes_no_sense_is_said(by_heart, tmp_path):
    with pytest.raises(UsageError, match="no setting speed"):
        gpt2_assist.finetune(tmp_path, speed=3)
    with pytest.raises(UsageError, match="restore_from"):
        gpt2_assist.finetune(tmp_path, restore_from="yesterday")
    with pytest.raises(UsageError, match="no setting speed"):
        gpt2_assist.generate(by_heart, speed=3)
    with pytest.raises(UsageError, match="nsamples"):
        gpt2_assist.generate(by_heart, nsamples=0)
    done = subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "generate", "x", "--model", "mini", "--max-copied",
                           "3"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "fine-tuned here" in done.stderr
    with pytest.raises(AttributeError):
        gpt2_assist.nothing  # noqa: B018


def test_to_a_file_and_back_from_where_it_stopped(shorts, tmp_path):
    gpt2_assist.generate_to_file(tmp_path / "out.txt", run_name=shorts, nsamples=3, length=10, prefix="The ", seed=1)
    parts = (tmp_path / "out.txt").read_text(encoding="utf-8").split("\n====================\n")
    assert len(parts) == 3 and all(part.startswith("The ") for part in parts)
    again = gpt2_assist.finetune(run_name=shorts, restore_from="latest", quiet=True)
    assert again.finished and again.run_name == shorts
