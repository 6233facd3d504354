"""The fine-tuning loop: what it computes doesn't depend on how often it is stopped, killed or short of memory."""
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gpt2_assist.errors import DataError
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.store import find_model
from gpt2_assist.training.checkpoint import load_checkpoint, save_checkpoint
from gpt2_assist.training.finetuning.base import Base
from gpt2_assist.training.finetuning.infill_pieces import Cutting
from gpt2_assist.training.finetuning.settings import FinetuneSettings, settled
from gpt2_assist.training.finetuning.tuning import Tuning, enough_memory
from gpt2_assist.training.rows import Text

ASKED = FinetuneSettings(method="full", steps=12, context=16, batch_tokens=64, micro_rows=2, rate=1e-3,
                         validate_every=4)


def text(seed: int, lengths: list[int]) -> Text:
    """Documents of tokens that follow each other in a way that can be learned."""
    dice = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    steps = dice.integers(1, 3, starts[-1])
    return Text((np.cumsum(steps) % 300).astype(np.uint16), starts)


def tuning(folder, checkpoints, **changes) -> Tuning:
    asked = replace(ASKED, **changes)
    settings = settled(asked, read_config(folder), 3000, "cpu")
    base = Base.of(find_model(str(folder)), settings.infill)
    cutting = Cutting.of(base.tokenizer, base.lesson.infill) if base.lesson else None
    return Tuning(base.tunable(settings, "cpu"), text(1, [40, 7, 100, 3, 60, 90] * 8), text(2, [30, 50, 9]), None,
                  settings, 2, checkpoints, cutting=cutting)


def trained(one: Tuning) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in one.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("changes", [
    {"method": "lora", "rate": 1e-2, "infill": True},
    *(pytest.param(changes, marks=pytest.mark.slow) for changes in (
        {}, {"method": "lora", "rate": 1e-2}, {"precision": "fp32", "recompute": True}, {"infill": True}))])
def test_two_pieces_are_one_bit_for_bit(tiny_model, tmp_path, changes):
    whole = tuning(tiny_model, tmp_path / "whole", **changes)
    losses = [(report.step, report.loss, report.validation, report.infill, report.best) for report in whole.steps()]
    first = tuning(tiny_model, tmp_path / "parts", **changes)
    parts = []
    for report in first.steps(lambda: first.state.step == 5):
        parts.append((report.step, report.loss, report.validation, report.infill, report.best))
    second = tuning(tiny_model, tmp_path / "parts", **changes)
    assert second.resume(pytest.fail) and second.state.step == 5
    parts += [(report.step, report.loss, report.validation, report.infill, report.best) for report in second.steps()]
    assert parts == losses and (losses[-1][1] < losses[0][1] or "infill" in changes)
    assert all(torch.equal(value, trained(second)[name]) for name, value in trained(whole).items())
    assert vars(second.state) == vars(whole.state)


def test_what_is_measured_on_whole_text_is_the_same_with_filling_in(tiny_model, tmp_path):
    plain, infill = (tuning(tiny_model, tmp_path / name, method="lora", infill=name == "infill")
                     for name in ("plain", "infill"))
    assert plain._measure(plain._validation) == infill._measure(infill._validation)
    reports = list(infill.steps())
    measured = [report for report in reports if report.validation is not None]
    assert all(report.infill is not None for report in measured)
    best = min(measured, key=lambda report: report.validation + report.infill)
    assert infill.state.best_step == best.step and infill.state.best_validation == best.validation
    assert infill.state.first["validation"] == plain._measure(plain._validation)


def test_portions_change_a_step_only_by_rounding(tiny_model, tmp_path):
    results = []
    for micro in (1, 2, 4):
        one = tuning(tiny_model, tmp_path / str(micro), micro_rows=micro, precision="fp32", steps=3)
        list(one.steps())
        results.append(trained(one))
    for other in results[1:]:
        for name, value in results[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=2e-4)


def test_it_ends_when_it_learns_nothing_more(tiny_model, tmp_path):
    one = tuning(tiny_model, tmp_path, steps=400, rate=0.05, patience=2, validate_every=2)
    reports = list(one.steps())
    assert len(reports) < 400 and one.ended and one.state.bad == 2
    measured = [report.validation for report in reports if report.validation is not None]
    assert one.state.best_loss == min(measured) and measured[-3] == min(measured)


def test_a_damaged_state_is_named_and_the_one_before_is_used(tiny_model, tmp_path):
    list(tuning(tiny_model, tmp_path).steps())
    last, before = sorted(tmp_path.glob("*"))[1], sorted(tmp_path.glob("*"))[0]
    last.write_bytes(last.read_bytes()[:-1000])
    said = []
    again = tuning(tiny_model, tmp_path)
    assert again.resume(said.append)
    assert str(last) in said[0] and again.state.step == int(before.stem.removeprefix("step-"))
    before.write_bytes(b"nothing")
    assert not tuning(tiny_model, tmp_path).resume(said.append) and len(said) == 2


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 5 bytes")])
def test_a_lack_of_memory_is_a_sentence_and_other_errors_are_themselves(error):
    with pytest.raises(DataError, match="too little memory"), enough_memory():
        raise error
    with pytest.raises(RuntimeError, match="odd"), enough_memory():
        raise RuntimeError("odd")


def test_a_state_of_another_model_is_refused(tiny_model, tmp_path):
    list(tuning(tiny_model, tmp_path, steps=1).steps())
    said = []
    assert not tuning(tiny_model, tmp_path, method="lora").resume(said.append) and said


OLD = {"embedding": "wte", "positions": "wpe", "norm": "ln_f", "attention_norm": "ln_1", "qkv": "attn.c_attn",
       "output": "attn.c_proj", "inner_norm": "ln_2", "up": "mlp.c_fc", "down": "mlp.c_proj"}


def old_name(name: str) -> str:
    """What a state called a tensor when GPT-2 was the only architecture."""
    start, kind = re.match(r"model\.|adam\.\w+\.", name).group(), name.rpartition(".")[2]
    module = name.removeprefix(start).rpartition(".")[0].replace("layers.", "h.")
    return f"{start}{'.'.join([*module.split('.')[:-1], OLD[module.rpartition('.')[2]]])}.{kind}"


@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_states_from_before_there_were_other_architectures_go_on(tiny_model, tmp_path, method):
    whole = tuning(tiny_model, tmp_path / "whole", method=method)
    list(whole.steps())
    first = tuning(tiny_model, tmp_path / "old", method=method)
    list(first.steps(lambda: first.state.step == 5))
    path = first.saved()[-1]
    tensors, progress = load_checkpoint(path)
    old = {old_name(name): value for name, value in tensors.items()}
    assert ("model.h.1.mlp.c_proj.down" if method == "lora" else "model.wte.weight") in old
    progress["settings"]["targets"] = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    save_checkpoint(path, old, progress)
    second = tuning(tiny_model, tmp_path / "old", method=method)
    assert second.resume(pytest.fail) and second.state.step == 5
    list(second.steps())
    assert all(torch.equal(value, trained(second)[name]) for name, value in trained(whole).items())


SHORT = """
import resource, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from test_tuning import tuning
one = tuning(Path(sys.argv[2]), Path(sys.argv[3]), context=64, batch_tokens=64 * 8192, micro_rows=8192, steps=1)
pages = int(Path("/proc/self/statm").read_text().split()[0])
room = pages * resource.getpagesize() + (int(sys.argv[4]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
print([report.note for report in one.steps()], one.settings.micro_rows)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit of address space")
@pytest.mark.slow
def test_a_lack_of_memory_makes_the_portions_smaller(tiny_model, tmp_path):
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", SHORT, here, str(tiny_model), str(tmp_path), "1000"],
                          capture_output=True, text=True, timeout=100)
    assert "memory was short" in done.stdout and done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) < 8192


def test_rows_that_get_shorter_change_no_measure(tiny_model, tmp_path):
    """A loss on shorter rows is larger, so nothing would ever be better again."""
    one = tuning(tiny_model, tmp_path, context=64, batch_tokens=64, recompute=True)
    before = one._measure(one._validation)
    one.settings = replace(one.settings, context=16)
    one._cut()
    assert one._measure(one._validation) == before and len(one._train.rows(0)) > 1
    shorter = tuning(tiny_model, tmp_path, context=16)
    assert shorter._measure(shorter._validation) != before


def test_settings_that_make_no_sense_are_named(tiny_model):
    from gpt2_assist.errors import UsageError
    config = read_config(tiny_model)
    for changes, words in (({"context": 65}, "context"), ({"method": "magic"}, "full or lora"),
                           ({"precision": "int8"}, "bf16 or fp32"), ({"rate": -1}, "rate"), ({"steps": -1}, "steps")):
        with pytest.raises(UsageError, match=words):
            settled(replace(ASKED, **changes), config, 3000, "cpu")
    with pytest.raises(DataError, match="another version"):
        FinetuneSettings.from_json({"method": "full"})


def test_every_row_is_dealt_once_a_pass_also_where_a_pass_ends_inside_a_step(tiny_model, tmp_path):
    one = tuning(tiny_model, tmp_path, micro_rows=1)
    dealt, state = [], replace(one.state)
    whole = len(one._train.rows(0))
    assert whole % 4, "a pass ends inside a step"
    while state.epoch < 2:
        dealt += [part.ids.tobytes() for part in one._rows(4, state)]
    expected = [one._train.filled([row]).ids.tobytes() for epoch in (0, 1) for row in one._train.rows(epoch)]
    assert dealt[:2 * whole] == expected


def test_a_state_on_the_disk_never_knows_of_a_best_that_nobody_heard_of(tiny_model, tmp_path):
    one, heard = tuning(tiny_model, tmp_path, validate_every=1), 0
    for report in one.steps():
        for path in one.saved():
            assert load_checkpoint(path)[1]["state"]["best_step"] <= heard
        heard = report.step if report.best else heard
