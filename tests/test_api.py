"""The calls for programs: what people hand to them, and what they say of it."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gpt2_assist
from gpt2_assist.errors import UsageError
from gpt2_assist.runs import find_run


class Session:
    """As TensorFlow's, which gpt-2-simple's calls take first."""


@pytest.fixture
def generate(tiny_model):
    def run(*arguments, **more):
        return gpt2_assist.generate(*arguments, model_name=tiny_model, **{"length": 24, "seed": 3, **more})
    return run


def test_the_module_lists_its_calls_and_imports_nothing_for_it():
    program = "import sys, gpt2_assist; print(dir(gpt2_assist)); from gpt2_assist import *; finetune; " \
              "print('torch' in sys.modules)"
    listed, heavy = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.splitlines()
    assert heavy == "False"
    for name in ("finetune", "generate", "generate_to_file", "how_original", "download_gpt2", "__version__"):
        assert f"'{name}'" in listed


def test_one_text_is_one_stop_string(generate):
    text = generate(prefix="The model", include_prefix=False)[0]
    cut = text[8:11]
    expected = text[:text.index(cut)].rstrip("\ufffd")  # no sample ends in a broken character
    for stop in (cut, [cut], (cut,), np.array([cut]), (part for part in [cut])):
        assert generate(prefix="The model", include_prefix=False, stop=stop) == [expected]
    assert generate(prefix="The model", include_prefix=False, truncate=cut) == [expected]


def test_what_numpy_and_gpt_2_simple_hand_over_means_the_same(generate, tmp_path):
    text = generate(prefix="The model", temperature=0.5)
    assert generate(Session(), prefix="The model", temperature=np.float32(0.5), length=np.int64(24), seed=np.uint8(3),
                    nsamples=np.array(1), include_prefix=np.bool_(True), top_k=None, top_p=0, truncate=None) == text
    assert generate(None, run_name="run1", sess=Session(), prefix="The model", temperature=0.5) == text
    assert generate(prefix=None, logit_bias=[[np.int64(5), np.float32(1)]], stop_tokens=np.array([7])) == \
        generate(prefix="", logit_bias=[[5, 1.0]], stop_tokens=(7,), destination_path=None)
    assert generate(prefix="caf\udce9", length=2)[0].startswith("caf\ufffd")
    for place in (tmp_path / "a", str(tmp_path / "b")):
        generate(destination_path=place)
        assert Path(place).read_text(encoding="utf-8")


@pytest.mark.parametrize("call, given, named", [
    ("generate", {"run_name": 5}, "run_name"), ("generate", {"run_name": b"run1"}, "run_name"),
    ("generate", {"model_name": 1.5}, "model_name"), ("generate", {"prefix": 3}, "prefix"),
    ("generate", {"prefix": ["a"]}, "prefix"), ("generate", {"nsamples": "3"}, "nsamples"),
    ("generate", {"nsamples": 1.5}, "nsamples"), ("generate", {"nsamples": True}, "nsamples"),
    ("generate", {"nsamples": 0}, "nsamples"), ("generate", {"batch_size": -1}, "batch_size"),
    ("generate", {"length": "long"}, "length"), ("generate", {"length": -1}, "length"),
    ("generate", {"temperature": "hot"}, "temperature"), ("generate", {"temperature": float("nan")}, "temperature"),
    ("generate", {"temperature": np.zeros(2)}, "temperature"), ("generate", {"top_k": 2.5}, "top_k"),
    ("generate", {"top_p": []}, "top_p"), ("generate", {"truncate": 5}, "truncate"),
    ("generate", {"include_prefix": "no"}, "include_prefix"), ("generate", {"destination_path": 7}, "destination_path"),
    ("generate", {"destination_path": "a\0b"}, "zero byte"), ("generate", {"seed": "x"}, "seed"),
    ("generate", {"unique": None, "stop": [1]}, "stop"), ("generate", {"stop": b"x"}, "stop"),
    ("generate", {"stop": {"a": 1}}, "stop"), ("generate", {"heal": "yes"}, "heal"),
    ("generate", {"samplers": ["topp"]}, "topp"), ("generate", {"temperatures": "hot"}, "temperatures"),
    ("generate", {"min_p": "x"}, "min_p"), ("generate", {"logit_bias": {5: 1}}, "logit_bias"),
    ("generate", {"return_as_list": True}, "return_as_list"), ("generate", {"n": 3}, "setting n"),
    ("generate_to_file", {}, "destination_path"), ("generate_to_file", {"destination_path": 3}, "destination_path"),
    ("finetune", {"dataset": 5}, "dataset"), ("finetune", {"dataset": [5]}, "dataset"),
    ("finetune", {"dataset": b"x"}, "dataset"), ("finetune", {"run_name": Path("x")}, "run_name"),
    ("finetune", {"steps": "many"}, "steps"), ("finetune", {"learning_rate": "fast"}, "learning_rate"),
    ("finetune", {"prompts": 5}, "prompts"), ("finetune", {"column": 5}, "column"),
    ("finetune", {"callback": "print"}, "callback"), ("finetune", {"quiet": "x"}, "quiet"),
    ("finetune", {"restore_from": "earlier"}, "restore_from"), ("finetune", {"overwrite": 5}, "overwrite"),
    ("finetune", {"rate": 0.1}, "setting rate"), ("finetune", {"rank": "8"}, "rank"),
    ("finetune", {"targets": 5}, "targets"), ("finetune", {"lr": 1}, "lr"),
    ("finetune", {"sample_every": -1}, "sample_every"), ("finetune", {"learning_rate": -1}, "learning_rate"),
    ("how_original", {}, "text"), ("how_original", {"text": 5}, "text"),
    ("how_original", {"text": "x", "n": 0}, "n must"),
    ("download_gpt2", {"model_name": 124}, "model_name"),
])
def test_a_wrong_argument_is_named_in_a_sentence(call, given, named):
    with pytest.raises(Exception) as caught:
        getattr(gpt2_assist, call)(**given)
    assert type(caught.value).__module__ == "gpt2_assist.errors" and named in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("call", ["generate", "finetune", "generate_to_file", "how_original"])
def test_what_stands_where_a_session_stood_is_refused_with_a_hint(call):
    with pytest.raises(UsageError, match="needs no session"):
        getattr(gpt2_assist, call)(object(), run_name="run1")


def test_what_a_callback_raises_ends_a_training_saved_and_comes_back(tiny_model, tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"Day {number}: the fox of Rome sang to {number} bees. " * 9, "utf-8")

    def callback(report):
        if report.step == 2:
            raise OSError("the network is gone")
    with pytest.raises(OSError, match="the network is gone"):
        gpt2_assist.finetune(tmp_path, tiny_model, "called-back", steps=30, context=32, batch_tokens=128,
                             callback=callback, quiet=True)
    folder = find_run("called-back").folder
    assert list(folder.glob("checkpoints/*"))
    assert not [path for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077], "open to others"
