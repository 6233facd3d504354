"""Every architecture is trained as transformers and peft would, and what comes of it they read."""
import os
import subprocess
import sys

import families
import numpy as np
import pytest
import torch
import transformers
from test_tuning import trained, tuning

from gpt2_assist.architectures.description import MATRICES
from gpt2_assist.model.adapter import LoraShape, read_adapter
from gpt2_assist.model.weights import load_model, load_weights, model_of, stored_tensors
from gpt2_assist.runs import find_run
from gpt2_assist.training.adapted_weights import merged
from gpt2_assist.training.finetuning.lora import LoraMatrix, add_adapter, write_adapter
from gpt2_assist.training.gradients import ParallelGradients
from gpt2_assist.training.rows import Pieces, Text

IDS = torch.tensor([[5, 9, 200, 31, 7, 7, 90]])
peft = pytest.importorskip("peft", reason="needs peft: pip install peft")

SHAPE = LoraShape(rank=4, alpha=6.0, targets=MATRICES)


@pytest.fixture(scope="module", params=list(families.FAMILIES))
def family(request, tiny_model, tmp_path_factory):
    """(a model's folder, the model in transformers)."""
    folder = tmp_path_factory.mktemp("family")
    return folder, families.made(request.param, tiny_model, folder)


def adapted(folder):
    """A model with an adapter that does something."""
    model = load_model(folder)
    add_adapter(model, SHAPE, seed=3)
    dice = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoraMatrix):
                module.up.normal_(0, 0.2, generator=dice)
    return model


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_of_packed_rows_are_those_of_each_document_in_transformers(family, recompute):
    folder, theirs = family
    documents = [[3, 70, 80, 90, 3], [3, 15, 16, 17, 18, 19, 20, 3], [3, 200, 201, 3]]
    starts = np.cumsum([0, *map(len, documents)])
    rows = Pieces(Text(np.concatenate(documents).astype(np.uint16), starts), 16, 1)
    model = load_model(folder).requires_grad_(True)
    model.recompute = recompute
    loss = ParallelGradients(model, 1, torch.float32).accumulate(rows.filled(rows.rows(0)))

    theirs.zero_grad()
    count = sum(len(ids) - 1 for ids in documents)
    whole = sum(theirs(torch.tensor([ids]), labels=torch.tensor([ids])).loss * (len(ids) - 1) / count
                for ids in documents)
    whole.backward()
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    mine = dict(stored_tensors({name: p.grad for name, p in model.named_parameters()}, model.config))
    expected = dict(theirs.named_parameters())
    assert mine.keys() == expected.keys()
    for name, gradient in mine.items():
        torch.testing.assert_close(gradient, expected[name].grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("changes", [{"method": "full"}, pytest.param({"method": "lora", "rate": 1e-2},
                                                                           marks=pytest.mark.slow)])
def test_two_pieces_are_one_bit_for_bit(changes, tiny_model, tmp_path):
    families.made("Llama with a head of its own", tiny_model, tmp_path / "base")
    whole, first, second = (tuning(tmp_path / "base", tmp_path / name, **changes)
                            for name in ("whole", "parts", "parts"))
    losses = [report.loss for report in whole.steps()]
    parts = [report.loss for report in first.steps(lambda: first.state.step == 5)]
    assert second.resume(pytest.fail)
    assert parts + [report.loss for report in second.steps()] == losses and losses[-1] < losses[0]
    assert all(torch.equal(value, trained(second)[name]) for name, value in trained(whole).items())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_processes_that_keep_a_part_each_train_it(method, tiny_model, tmp_path):
    families.made("Qwen3", tiny_model, tmp_path / "base")
    (tmp_path / "text.txt").write_text("\n\n".join(f"The fox met {n} hens, and {n * n} geese." for n in range(200)))
    run, text = f"shared-out-{method}", tmp_path / "text.txt"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "gpt2_assist.cli", "finetune",
         str(text), "--model", str(tmp_path / "base"), "--run-name", run, "--shard", "--method", method,
         "--context", "32", "--batch-tokens", "64", "--steps", "8", "--validate-every", "4", "--threads", "1", "--rate",
         "0.003"], capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    best = find_run(run).best()
    assert best["step"] and best["loss"] < best["before"]


def test_peft_reads_what_we_write_and_we_what_it_writes(family, tmp_path):
    folder, _ = family
    model = adapted(folder)
    write_adapter(tmp_path / "ours", model, SHAPE, str(folder))
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(IDS).logits, model(IDS), rtol=1e-4, atol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, again = (read_adapter(tmp_path / name, model.config) for name in ("ours", "theirs"))
    assert again.shape == SHAPE and again.pairs.keys() == ours.pairs.keys()
    assert all((mine == other).all() for name in ours.pairs for mine, other in zip(ours.pairs[name], again.pairs[name]))


@pytest.mark.parametrize("targets", ["q_proj v_proj", "k_proj", "gate_proj up_proj o_proj", ".*up_proj",
                                     "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"])
def test_an_adapter_of_peft_with_matrices_of_its_own_for_each_part_computes_the_same(targets, tiny_model, tmp_path):
    plain = families.made("Qwen3", tiny_model, tmp_path / "base")
    wanted = targets if "*" in targets else targets.split()
    theirs = peft.get_peft_model(plain, peft.LoraConfig(r=3, lora_alpha=5, target_modules=wanted,
                                                        init_lora_weights=False)).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    config, weights = load_weights(tmp_path / "base")
    whole = model_of(config, merged(weights, read_adapter(tmp_path / "adapter", config)))
    with torch.no_grad():
        torch.testing.assert_close(whole(IDS), theirs(IDS).logits, rtol=1e-4, atol=1e-4)
