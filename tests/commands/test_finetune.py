"""`gpt2-assist finetune` and `runs` as a user meets them: whole processes, killed and stopped, and what they say."""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest
import torch
from safetensors.torch import load_file

import gpt2_assist
from gpt2_assist.errors import DataError, ModelError, StorageError, UsageError
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.store import find_model, new_model
from gpt2_assist.runs import find_run, has_run, list_runs, run_model, slim_run
from gpt2_assist.training.finetuning import finetune
from gpt2_assist.training.finetuning.disk import needed_on_disk
from gpt2_assist.training.finetuning.settings import FinetuneSettings

SENTENCES = ["The fox met {0} at the river and said: {0}, good day to you.", "{0} had three hats and a small dog.",
             "In the evening {0} told us about the war and the long way home."]
NAMES = ("Anna", "Bert", "Cleo", "Dora", "Emil", "Fred", "Gwen", "Hugo", "Ida", "Jim", "Kai", "Lea")
QUICK = ("--context", "32", "--batch-tokens", "128", "--rate", "0.001", "--threads", "2", "--patience", "0")


def assist(*arguments: str, timeout: float = 110, **more) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gpt2_assist.cli", *arguments], capture_output=True, text=True,
                          timeout=timeout, encoding="utf-8", **more)


def weights_of(run) -> dict[str, torch.Tensor]:
    """What the best so far consists of."""
    name, = (name for name in ("model.safetensors", "adapter_model.safetensors") if (run.model() / name).is_file())
    return load_file(run.model() / name)


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    for number, name in enumerate(NAMES * 2):
        lines = [sentence.format(name) for sentence in SENTENCES[number % 3:]] * 4
        (folder / f"{number:02}.md").write_text(f"# Day {number}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / ".env").write_text("PASSWORD=1", encoding="utf-8")
    (folder / "picture.png").write_bytes(bytes(range(256)) * 8)
    return folder


@pytest.fixture(scope="module")
def trained(notes, tiny_model) -> str:
    """A run of the notes."""
    done = assist("finetune", str(notes), "--model", str(tiny_model), "--run", "notes", "--steps", "40", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "1 secret" in done.stdout and "1 binary" in done.stdout and "Validation loss" in done.stdout
    for words in ("Held out to measure by: 2 of 20 documents", "Before it wrote: “", "Now it writes: “", "improv"):
        assert words in done.stdout
    return "notes"


def test_a_run_has_all_that_belongs_to_it_and_is_listed(trained):
    run = find_run(trained)
    for name in ("run.json", "tokenizer.json", "curve.jsonl", "curve.png", "samples.txt", "best.json"):
        assert (run.folder / name).stat().st_size, name
    assert run.model() and run.curve()[-1]["step"] == 40
    assert trained in assist("runs").stdout and "validation" in assist("runs", "show", trained).stdout


@pytest.mark.slow
def test_without_the_extra_a_run_has_no_picture_and_says_what_draws_it(notes, tiny_model, tmp_path):
    """A module of that name that can't be imported stands before the real one."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    done = assist("finetune", str(notes), "--model", str(tiny_model), "--run", "undrawn", "--steps", "2", *QUICK,
                  env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "What draws the curve as a picture is installed with gpt2-assist[plots]."
    run = find_run("undrawn")
    assert run.curve() and not (run.folder / "curve.png").exists()


def test_it_writes_and_says_what_is_copied(trained):
    done = assist("generate", "--model", trained, "The fox met", "--max-new-tokens", "8", "--seed", "1")
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    text = "He said: the fox met Anna at the river and said: Anna, good day to you."
    done = assist("originality", text, "--run", trained)
    assert done.returncode == 0 and "00.md" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_text_begins_as_those_that_were_learned_from(trained, tiny_model):
    exact = ("--temperature", "0", "--max-new-tokens", "12", "--no-heal", "--precision", "fp32")
    written = [assist("generate", "--model", model, prompt, *exact).stdout for model in (trained, str(tiny_model))
               for prompt in ("The fox met", "<|endoftext|>The fox met")]
    assert written[0] == written[1] and written[2] != written[3]


def test_checking_trains_nothing(notes, tiny_model):
    before = [run.name for run in list_runs()]
    done = assist("finetune", str(notes), "--model", str(tiny_model), "--check")
    assert done.returncode == 0 and "tokens" in done.stdout and "Held out to measure by: 2 of 20" in done.stdout
    assert [run.name for run in list_runs()] == before


@pytest.mark.slow
def test_planning_trains_nothing(notes, tiny_model):
    before = [run.name for run in list_runs()]
    done = assist("finetune", str(notes), "--model", str(tiny_model), "--plan", *QUICK)
    assert done.returncode == 0 and "tokens a second" in done.stdout, done.stderr
    assert [run.name for run in list_runs()] == before


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_goes_on_to_the_same_model(notes, tiny_model, trained):
    arguments = ["--model", str(tiny_model), "--run", "stopped", "--steps", "40", *QUICK]
    one = subprocess.Popen([sys.executable, "-m", "gpt2_assist.cli", "finetune", str(notes), *arguments],
                           stdout=subprocess.PIPE, text=True)
    assert next(line for line in one.stdout if line.startswith("step "))
    one.send_signal(signal.SIGINT)
    rest = one.stdout.read()
    if one.wait(60) == 0:
        pytest.skip("it was quicker than Ctrl-C")
    assert one.returncode == 130 and "--resume --run stopped" in rest
    done = assist("finetune", "--resume", "--run", "stopped")
    assert done.returncode == 0, done.stderr
    mine, other = (weights_of(find_run(name)) for name in ("stopped", trained))
    assert all(torch.equal(value, other[name]) for name, value in mine.items())
    curves = [[(entry["step"], entry["loss"]) for entry in find_run(name).curve()] for name in ("stopped", trained)]
    assert curves[0] == curves[1]


@pytest.mark.slow
def test_a_finished_run_says_so_and_is_left_as_it_is(notes, tiny_model, trained):
    run = find_run(trained)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    for more in ([], ["--steps", "40"], [str(notes), "--model", str(tiny_model), "--rate", "0.001"]):
        done = assist("finetune", "--resume", "--run", trained, *more)
        assert done.returncode == 0 and "is finished: it has 40 steps" in done.stdout, done.stderr
        assert "Validation loss" in done.stdout and "goes on at" not in done.stdout
    assist("finetune", "--resume", "--run", trained, "--steps", "39")
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_the_api_goes_on_with_a_run_as_it_was_begun(notes, tiny_model, trained):
    same = {"dataset": str(notes), "model_name": str(tiny_model), "run_name": trained, "restore_from": "latest",
            "quiet": True}
    assert gpt2_assist.finetune(**same, learning_rate=0.001, steps=40, overwrite=True).finished
    for more, words in (({"learning_rate": 0.5}, "learning_rate can't change"), ({"method": "lora"}, "method can't"),
                        ({"steps": 39}, "already at step 40"), ({"dataset": [str(notes / "00.md")]}, "has the texts"),
                        ({"seed": 7}, "seed can't"),
                        ({"batch_size": 3, "model_name": "mini"}, "model_name and batch_size")):
        with pytest.raises(UsageError, match=words):
            gpt2_assist.finetune(**{**same, **more})


def copied(run, name: str, **changes):
    """A run as it is, under another name."""
    other = type(run)(name, run.folder.with_name(name))
    shutil.copytree(run.folder, other.folder)
    other.write_record(replace(other.record(), **changes))
    return other


def test_a_slim_run_keeps_its_best_and_says_what_it_can_no_longer_do(trained):
    run = copied(find_run(trained), "slim")
    before, best = run.size_bytes, weights_of(run)
    (run.folder / "models" / "step-1").mkdir()
    done = assist("runs", "slim", "slim")
    assert done.returncode == 0 and "can't go on" in done.stdout, done.stderr
    assert run.size_bytes < before / 2 and not run.states() and [*run.folder.glob("models/*")] == [run.model()]
    assert all(torch.equal(value, best[name]) for name, value in weights_of(run).items())
    assert "no saved state" in assist("runs", "show", "slim").stdout
    assert "no saved state" not in assist("runs", "show", trained).stdout
    done = assist("finetune", "--resume", "--run", "slim", "--steps", "80")
    assert done.returncode == 4 and "runs slim" in done.stderr and "--from slim" in done.stderr
    assert run_model("slim") == run.model()
    with pytest.raises(DataError, match="no run 'nothing'"):
        slim_run("nothing")
    shutil.rmtree(run.folder / "models")
    with pytest.raises(DataError, match="no model yet"):
        slim_run("slim")


def test_a_model_on_which_runs_stand_is_not_removed_unasked(trained, tiny_model):
    with new_model("mine") as folder:
        shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    run, path = find_run(trained), find_model("mine").path
    lora = {**run.record().settings, "method": "lora"}
    copied(run, "adapted", base="mine", base_path=str(path), settings=lora)
    copied(run, "whole", base="mine", base_path=str(path))
    slim_run(copied(run, "independent", base="mine", base_path=str(path)).name)
    done = assist("models", "remove", "mine")
    assert done.returncode == 2 and find_model("mine"), done.stderr
    assert "adapted can't write and whole can't be resumed" in done.stderr and "--force" in done.stderr
    assert "independent" not in done.stderr and trained not in done.stderr
    shutil.rmtree(run.folder.with_name("adapted"))
    done = assist("models", "remove", "mine")
    assert done.returncode == 2 and "whole can't be resumed" in done.stderr
    assert assist("models", "remove", "mine", "--force").returncode == 0
    with pytest.raises(ModelError):
        find_model("mine")


@pytest.mark.slow
def test_a_run_that_the_disk_has_no_room_for_is_not_begun(notes, tiny_model, trained, monkeypatch):
    shown = assist("finetune", str(notes), "--model", str(tiny_model), "--plan", *QUICK).stdout
    assert re.search(r"Disk: about \d+ MB of the [\d.]+ [GM]B that are free", shown), shown
    usage = shutil.disk_usage(notes)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    same = {"dataset": str(notes), "model_name": str(tiny_model), "quiet": True, "context": 32}
    with pytest.raises(StorageError, match="are free there"):
        gpt2_assist.finetune(**same, run_name="wide")
    assert not has_run("wide")
    run = find_run(trained)
    used = FinetuneSettings.from_json(run.record().settings)
    assert run.size_bytes < needed_on_disk(read_config(tiny_model), used, 6000)


class Ended:
    """Who is asked for nothing but when to interrupt: at the first line with these words."""

    def __init__(self, words: str) -> None:
        self._words = words
        self.goes_on = self.corpus = self.step = self.sample = lambda *arguments: None

    def say(self, line: str) -> None:
        if self._words in line:
            raise KeyboardInterrupt

    def plan(self, plan) -> None:
        self.say("plan")


def test_what_is_interrupted_before_the_first_step_leaves_nothing_or_what_goes_on(notes, tiny_model):
    settings = FinetuneSettings(steps=2, context=32, batch_tokens=128, rate=1e-3)
    request = finetune.FinetuneRequest((str(notes),), str(tiny_model), "early", settings, threads=1)
    with pytest.raises(KeyboardInterrupt):
        finetune.finetune(request, Ended("Indexing"))
    assert not has_run("early")
    with pytest.raises(KeyboardInterrupt):
        finetune.finetune(request, Ended("plan"))
    assert finetune.resume(request, Ended("nothing")).finished and find_run("early").saved_step == 2


def test_runs_fit_their_terminal_and_a_damaged_one_hides_no_other(trained):
    broken = copied(find_run(trained), "broken")
    (broken.folder / "run.json").write_text("{", encoding="utf-8")
    done = assist("runs")
    assert done.returncode == 0 and f"{trained} " in done.stdout and "damaged" in done.stdout, done.stderr
    shutil.rmtree(broken.folder)
    for arguments in (["runs"], ["runs", "show", trained]):
        child = pexpect.spawn(sys.executable, ["-m", "gpt2_assist.cli", *arguments], dimensions=(50, 50), timeout=60,
                              encoding="utf-8", env=dict(os.environ))  # without readline's COLUMNS
        child.expect(pexpect.EOF)
        lines = [line for line in child.before.replace("\r", "").split("\n") if "/" not in line]
        assert max(map(len, lines)) <= 50 and "validation" in child.before.replace("best", "validation"), lines
        assert not re.search(r"(loss|general|best|validation)$", child.before, re.MULTILINE), "a value without its name"


KILLER = """
import json, os, random, signal, sys, time
from gpt2_assist.runs import has_run, find_run
from gpt2_assist.training.finetuning import finetune
from gpt2_assist.training.finetuning.settings import FinetuneSettings
paths, model, name, kills = (sys.argv[1],), sys.argv[2], sys.argv[3], int(sys.argv[4])
settings = FinetuneSettings(method=sys.argv[5], steps=int(sys.argv[6]), context=32, batch_tokens=64, rate=1e-3,
                    validate_every=4, patience=0)
class Quiet:
    say = goes_on = corpus = plan = step = sample = lambda *arguments: None
def work():
    ready = has_run(name) and find_run(name).record().ready
    request = finetune.FinetuneRequest(paths, model, name, settings, overwrite=True, sample_every=10_000, threads=2)
    (finetune.resume if ready else finetune.finetune)(request, Quiet())
dice = random.Random(name)
survived = 0
while True:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    if kills:
        time.sleep(dice.uniform(0.02, 0.5))
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if not kills:
        sys.exit(os.waitstatus_to_exitcode(status))
    kills -= 1
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method, kills, steps", [("full", 30, 400), ("lora", 5, 120)])
def test_killed_at_random_moments_it_comes_to_the_same_end(notes, tiny_model, method, kills, steps):
    for name, times in ((f"killed-{method}", kills), (f"whole-{method}", 0)):
        done = subprocess.run([sys.executable, "-c", KILLER, str(notes), str(tiny_model), name, str(times), method,
                               str(steps)], capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
    killed, whole = find_run(f"killed-{method}"), find_run(f"whole-{method}")
    assert [entry["step"] for entry in killed.curve()] == list(range(1, steps + 1))
    assert killed.best() == whole.best()
    mine, other = (weights_of(run) for run in (killed, whole))
    assert all(torch.equal(value, other[name]) for name, value in mine.items())


@pytest.mark.slow
def test_a_request_to_end_saves_as_ctrl_c_does(notes, tiny_model):
    one = subprocess.Popen([sys.executable, "-m", "gpt2_assist", "finetune", str(notes), "--model", str(tiny_model),
                            "--run", "ended", "--steps", "4000", *QUICK], stdout=subprocess.PIPE, text=True)
    assert next(line for line in one.stdout if line.startswith("step "))
    one.send_signal(signal.SIGTERM)
    rest = one.stdout.read()
    assert one.wait(60) == 143 and "--resume --run ended" in rest
    assert list(find_run("ended").folder.glob("checkpoints/*"))


@pytest.mark.parametrize("name, redirection, note", [("unread", "| head -n 1", "Nobody reads"),
                                                     ("unheard", "> /dev/full", "No space left")])
@pytest.mark.slow
def test_output_that_is_refused_ends_no_training(notes, tiny_model, name, redirection, note):
    words = ["finetune", str(notes), "--model", str(tiny_model), "--run", name, "--steps", "6", *QUICK]
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f'"$0" -m gpt2_assist "$@" {redirection}', sys.executable,
                           *words], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0 and note in done.stderr and done.stderr.count("\n") == 1, done
    assert find_run(name).curve()[-1]["step"] == 6 and find_run(name).best()


@pytest.mark.slow
def test_a_plan_that_nobody_can_read_is_none(notes, tiny_model):
    words = ["finetune", str(notes), "--model", str(tiny_model), "--plan", *QUICK]
    done = subprocess.run(["bash", "-c", '"$0" -m gpt2_assist "$@" > /dev/full', sys.executable, *words],
                          capture_output=True, text=True, timeout=110)
    assert done.returncode == 6 and "can't be written" in done.stderr and done.stderr.count("\n") == 1, done


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_model_as_it_was_stays_where_nothing_is_better(notes, method):
    name = f"worse-{method}"
    done = assist("finetune", str(notes), "--model", "mini", "--run", name, "--steps", "4", "--method", method,
                  *QUICK[:4], "--rate", "1", "--threads", "2", "--validate-every", "2")
    assert done.returncode == 0 and "better than the model as it was" in done.stdout, done.stdout + done.stderr
    assert "best so far" not in done.stdout and "Held out" in done.stdout
    run = find_run(name)
    assert run.best()["step"] == 0 and run.best()["loss"] == run.best()["before"]
    greedy = ("<|endoftext|>The fox", "--temperature", "0", "--max-new-tokens", "12")
    assert assist("generate", "--model", name, *greedy).stdout == assist("generate", "--model", "mini", *greedy).stdout


@pytest.mark.slow
def test_a_full_disk_is_said_and_loses_nothing(notes, tiny_model):
    size = (tiny_model / "model.safetensors").stat().st_size
    done = assist("finetune", str(notes), "--model", str(tiny_model), "--run", "disk", "--steps", "6", *QUICK,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size, 2 * size)))
    assert done.returncode == 6 and "can't be written" in done.stderr and "Traceback" not in done.stderr
    done = assist("finetune", "--resume", "--run", "disk")
    assert done.returncode == 0 and find_run("disk").curve()[-1]["step"] == 6, done.stderr


@pytest.mark.slow
def test_runs_are_carried_in_an_archive_and_nothing_gets_out_of_its_folder(trained, tmp_path):
    archive = tmp_path / "run.tar.gz"
    assert assist("runs", "pack", trained, str(archive)).returncode == 0
    done = assist("runs", "unpack", str(archive), "--name", "carried")
    assert done.returncode == 0 and find_run("carried").curve() == find_run(trained).curve(), done.stderr
    assert assist("generate", "--model", "carried", "x", "--max-new-tokens", "2").returncode == 0
    assert assist("runs", "remove", "carried").returncode == 0
    assert "carried" not in assist("runs").stdout
    assert assist("runs", "unpack", str(archive), "--name", "bare").returncode == 0
    bare = find_run("bare")
    kept = {path: path.read_bytes() for path in bare.folder.rglob("*") if path.is_file() and path.name != ".lock"}
    done = assist("finetune", "--resume", "--run", "bare", "--steps", "150")
    assert done.returncode == 4 and "--from bare" in done.stderr and "without the saved states" in done.stderr
    assert {path: path.read_bytes() for path in kept} == kept
    assert assist("runs", "pack", trained, str(archive), "--checkpoints").returncode == 0
    assert assist("runs", "unpack", str(archive), "--name", "full").returncode == 0
    full = find_run("full")
    assert assist("finetune", "--resume", "--run", "full", "--steps", "44").returncode == 0
    assert full.curve()[-1]["step"] == 44
    for state in (full.folder / "checkpoints").iterdir():
        state.write_bytes(b"nothing")
    best, model = full.best(), weights_of(full)
    for word in ("damaged", "damaged"):  # the first time they are found to be, the second time put aside
        done = assist("finetune", "--resume", "--run", "full", "--steps", "60")
        assert done.returncode == 4 and word in done.stderr and "--from full" in done.stderr
    assert full.record().settings["steps"] == 44, "what is refused changes nothing"
    assert full.best() == best and all(torch.equal(value, model[name]) for name, value in weights_of(full).items())
    import io
    import tarfile
    for number, member in enumerate(("../outside", "/tmp/outside", "a/../../outside")):
        evil = tmp_path / f"{number}.tar.gz"
        with tarfile.open(evil, "w:gz") as tar:
            entry = tarfile.TarInfo(member)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(b"x"))
        done = assist("runs", "unpack", str(evil))
        assert done.returncode == 4 and "no run" in done.stderr
    done = assist("runs", "unpack", str(Path(__file__)))
    assert done.returncode == 4 and "can't be read" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_from_a_run_keeps_its_base(notes, tiny_model, method):
    first, second = f"first-{method}", f"second-{method}"
    done = assist("finetune", str(notes), "--model", str(tiny_model), "--run", first, "--steps", "8", "--method",
                  method, *QUICK)
    assert done.returncode == 0, done.stderr
    more = ("finetune", str(notes), "--from", first, "--run", second, "--method", "lora", *QUICK)
    assert assist(*more, "--steps", "8").returncode == 0
    greedy = ("--temperature", "0", "--max-new-tokens", "12", "--precision", "fp32")
    base = assist("generate", "--model", first, "The fox", *greedy).stdout
    assert assist("generate", "--model", f"{second}@0", "The fox", *greedy).stdout == base
    text = assist("generate", "--model", second, "The fox", *greedy).stdout
    assert assist("runs", "remove", first).returncode == 0
    assert assist("generate", "--model", second, "The fox", *greedy).stdout == text
    done = assist("finetune", "--resume", "--run", second, "--steps", "16")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_merged_and_exported_models_say_the_same(notes, tiny_model, tmp_path):
    done = assist("finetune", str(notes), "--model", str(tiny_model), "--run", "small", "--steps", "20", "--method",
                  "lora", *QUICK)
    assert done.returncode == 0, done.stderr
    assert assist("runs", "merge", "small", "--name", "plain").returncode == 0
    assert assist("runs", "merge", "small", "--name", "weak", "--strength", "0").returncode == 0
    assert assist("runs", "export", "small", str(tmp_path / "hf")).returncode == 0
    first = find_run("small").model()
    assert assist("finetune", "--resume", "--run", "small", "--steps", "40").returncode == 0
    again = find_run("small")
    assert again.model() == again.model_of(again.best()["step"]) != first, "the better adapter is a model too"
    for name in ("plain", "weak"):
        assert assist("models", "remove", name).returncode == 0
        strength = "0" if name == "weak" else "1"
        assert assist("runs", "merge", "small", "--name", name, "--strength", strength).returncode == 0
    shutil.rmtree(tmp_path / "hf")
    assert assist("runs", "export", "small", str(tmp_path / "hf")).returncode == 0
    greedy = ("The fox", "--temperature", "0", "--max-new-tokens", "12", "--precision", "fp32")
    texts = {name: assist("generate", "--model", name, *greedy).stdout
             for name in ("small", "plain", "weak", str(tmp_path / "hf"), str(tiny_model))}
    assert texts["small"] == texts["plain"] == texts[str(tmp_path / "hf")]
    assert texts["weak"] == texts[str(tiny_model)]
    from transformers import GPT2LMHeadModel
    from transformers import GPT2TokenizerFast as Fast
    tokenizer = Fast(tokenizer_file=str(tmp_path / "hf" / "tokenizer.json"))
    ids = torch.tensor([tokenizer("The fox").input_ids[:-1]])  # our own heals the last word
    model = GPT2LMHeadModel.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    assert model.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0).shape[1] == ids.shape[1] + 4


@pytest.mark.parametrize("arguments, code, words", [
    ([], 2, "Give the texts"),
    (["no-such-file"], 4, "no-such-file"),
    (["--resume", "--run", "notes", "--rate", "0.5", "--steps", "80"], 2, "--rate can't change"),
    (["--resume", "--run", "notes", "--steps", "39"], 2, "already at step 40"),
    (["--resume", "--run", "notes", "--steps", "-3"], 2, "must be 0 or more"),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        (["{notes}", "--model", "{model}", "--run", "a/b"], 2, "can't name a run"),
        (["{notes}/picture.png", "--model", "{model}"], 4, "picture.png"),
        (["{notes}", "--model", "no-such-model"], 3, "no-such-model"),
        (["{notes}", "--model", "{model}", "--run", "notes"], 2, "already a run notes"),
        (["{notes}", "--model", "{model}", "--run", "mini"], 2, "There is a model mini"),
        (["--resume", "--run", "no-such-run"], 4, "no run 'no-such-run'"),
        (["{empty}", "--resume", "--run", "notes"], 2, "leave the paths out"),
        (["--resume", "--run", "notes", "--method", "lora", "--seed", "9"], 2, "--method and --seed can't change"),
        (["--resume", "--run", "notes", "--validation", "0.3"], 2, "--validation can't change"),
        (["--resume", "--run", "notes", "--prompt", "Dear"], 2, "--prompt can't change"),
        (["--resume", "--run", "notes", "--from", "other"], 2, "--from can't change"),
        (["--resume", "--run", "notes", "--column", "title", "--keep-duplicates"], 2, "--keep-duplicates can't change"),
        (["--resume", "--run", "notes", "--patience", "-1", "--steps", "80"], 2, "patience"),
        (["{notes}", "--model", "{model}", "--from", "notes"], 2, "not both"),
        (["{notes}", "--model", "{model}", "--context", "1000"], 2, "context"),
        (["{notes}", "--model", "{model}", "--method", "lora", "--targets", "everything"], 2, "everything"),
        (["{notes}", "--model", "{model}", "--validation", "2"], 2, "share for validation"),
        (["{notes}/00.md", "--model", "{model}", "--run", "tiny", "--context", "64"], 0, ""),
        (["{empty}", "--model", "{model}"], 4, "empty"),
        (["{notes}/.en*", "--model", "{model}"], 4, "secret"),
        (["{few}", "--model", "{model}", "--run", "few"], 4, "too little text")))])
def test_what_cant_be_done_is_one_sentence(trained, notes, tiny_model, tmp_path, arguments, code, words):
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "few.txt").write_text("A few words.", encoding="utf-8")
    places = {"notes": notes, "model": tiny_model, "empty": tmp_path / "empty.txt", "few": tmp_path / "few.txt"}
    if code == 0:
        arguments = [*arguments, "--steps", "2", *QUICK[2:]]
    done = assist("finetune", *(argument.format(**places) for argument in arguments))
    assert done.returncode == code and words in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == (1 if code else 0)


@pytest.mark.slow
def test_two_dont_train_one_run_at_once(notes, tiny_model):
    arguments = ["--model", str(tiny_model), "--run", "twice", "--steps", "4000", *QUICK]
    one = subprocess.Popen([sys.executable, "-m", "gpt2_assist.cli", "finetune", str(notes), *arguments],
                           stdout=subprocess.PIPE, text=True)
    try:
        assert next(line for line in one.stdout if line.startswith("step "))
        done = assist("finetune", "--resume", "--run", "twice")
        assert done.returncode == 2 and "another process" in done.stderr
        done = assist("finetune", str(notes), *arguments, "--overwrite")
        assert done.returncode == 2 and "another process" in done.stderr
    finally:
        one.kill()
        one.wait(60)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(notes, tiny_model):
    arguments = ["finetune", str(notes), "--model", str(tiny_model), "--steps", "10", "--context", "32", "--rate",
                 "0.001", "--threads", "1", "--patience", "0", "--precision", "fp32"]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "gpt2_assist.cli"]
    done = subprocess.run([sys.executable, *launch, *arguments, "--run-name", "pair", "--batch-tokens", "64"],
                          capture_output=True, text=True, timeout=110, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Validation loss") == 1
    more = [sys.executable, *launch, "finetune", "--resume", "--run-name", "pair", "--steps", "12", "--threads", "1"]
    done = subprocess.run(more, capture_output=True, text=True, timeout=110, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0 and "goes on at step 10" in done.stdout, done.stderr
    assert assist(*arguments, "--run", "single", "--batch-tokens", "128").returncode == 0
    pair, single = (find_run(name) for name in ("pair", "single"))
    assert pair.curve()[-1]["step"] == 12
    for mine, other in zip(pair.curve()[:10], single.curve(), strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_two_processes_with_half_of_the_model_each_learn_what_one_does(notes, tiny_model, method):
    """Also where one of them has a portion less to do, and on from a state."""
    halves, one = f"halves-{method}", f"one-{method}"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m",
              "gpt2_assist.cli", "finetune", "--shard", "--run-name", halves]
    arguments = [str(notes), "--model", str(tiny_model), "--method", method, "--steps", "6", "--context", "32",
                 "--rate", "0.001", "--threads", "1", "--patience", "0", "--precision", "fp32", "--micro-rows", "2",
                 "--validate-every", "3"]
    for more, batch in ((arguments, True), (["--resume", "--steps", "9"], False))[:1 if method == "full" else 2]:
        done = subprocess.run([*launch, *more, *(["--batch-tokens", "96"] if batch else [])], capture_output=True,
                              text=True, timeout=110, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        done = assist("finetune", *more, "--run", one, *(["--batch-tokens", "192"] if batch else []))
        assert done.returncode == 0, done.stderr
    mine, other = find_run(halves), find_run(one)
    assert [entry["step"] for entry in mine.curve()] == list(range(1, 7 if method == "full" else 10))
    for name in ("loss", "validation", "general"):
        values = [[entry[name] for entry in run.curve() if name in entry] for run in (mine, other)]
        assert values[0] == pytest.approx(values[1], rel=2e-3), name
    assert mine.best()["step"] == other.best()["step"]
    for name, value in weights_of(mine).items():
        torch.testing.assert_close(value.float(), weights_of(other)[name].float(), rtol=0.02, atol=2e-3)
    assert mine.last_samples()


@pytest.mark.slow
def test_more_texts_go_on_from_another_run(notes, trained, tmp_path):
    lines = [f"{name} sold a red boat to the miller." for name in NAMES * 4]
    (tmp_path / "more.txt").write_text("\n".join(lines), encoding="utf-8")
    done = assist("finetune", str(tmp_path / "more.txt"), "--from", trained, "--run", "more", "--steps", "10", *QUICK)
    assert done.returncode == 0, done.stderr
    assert find_run("more").record().base == trained
    card = json.loads((find_run("more").model() / "card.json").read_text(encoding="utf-8"))
    assert card["origin"].startswith("fine-tuned from notes")
