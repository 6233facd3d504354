"""What a card's memory is planned for, and what happens where it is short."""
import pytest
import torch

from gpt2_assist.architectures import gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.cuda.cuda_engine import CudaEngine
from gpt2_assist.engine.cuda.memory import budget, fitted
from gpt2_assist.engine.cuda.pool import DevicePages, page_bytes
from gpt2_assist.engine.cuda.step import Step
from gpt2_assist.engine.cuda.weights import KINDS, Weights
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.errors import ModelError

SMALL = gpt2.decoder(2, 4, 64, 128, 300)
LLAMA = Decoder("qwen3", 2, 4, 2, 48, 16, 200, 128, 300, norm="rms", positions="rotary", activation="silu", gated=True,
                biases=(), head_norms=True, tied=False)
XL = gpt2.decoder(48, 25, 1600, 1024, 50257)


def weights(config: Decoder) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in config.shapes().items()}


@pytest.mark.parametrize("config", [SMALL, LLAMA], ids=["GPT-2", "Qwen3"])
@pytest.mark.parametrize("precision", KINDS)
def test_the_plan_holds_what_is_loaded(config, precision):
    wanted, there = budget(config, precision, "cpu", 1 << 20), Weights(config, weights(config), precision, "cpu")
    tensors = [there.places, there.turns, *there.norm]
    matrices = [there.tokens] if there.head is there.tokens else [there.tokens, there.head]
    for layer in there.layers:
        matrices += [layer.qkv, layer.output, layer.up, layer.down]
        tensors += [*layer.attention_norm, *layer.inner_norm, *(layer.head_norms or ())]
    tensors += [tensor for matrix in matrices for tensor in (matrix.weight, matrix.scales, matrix.bias)]
    held = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    assert 0.95 * wanted.weights <= held <= 1.05 * wanted.weights


def test_large_models_are_as_large_as_they_say():
    assert 3.1e9 < budget(XL, "bf16", "cpu", 0).weights < 3.2e9
    assert 1.5e9 < budget(XL, "int8", "cpu", 0).weights < 1.7e9
    assert page_bytes(XL, torch.bfloat16) == 16 * 48 * 2 * 1600 * 2
    assert page_bytes(LLAMA, torch.bfloat16) == 16 * 2 * 2 * 2 * 16 * 2, "of heads of keys, not of queries"


@pytest.mark.parametrize("config", [SMALL, LLAMA], ids=["GPT-2", "Qwen3"])
@pytest.mark.parametrize("precision", KINDS)
def test_the_plan_holds_what_a_step_works_with(config, precision):
    there = Weights(config, weights(config), precision, "cpu")
    step = Step(there, DevicePages(config, KINDS[precision], 0, 1, "cpu"), None, "cpu")
    rows = [step._rows, step._chunk]
    tensors = [tensor for row in rows for tensor in (row.queries, row.heads, row.mixed, row.extremes, row.inner)]
    tensors += [step.scores.logits, step.scores.scores, step.scores.seen, step.scores.biases]
    assert sum(tensor.nbytes for tensor in tensors) <= budget(config, precision, "cpu", 0).work


def test_what_is_free_decides_how_much_is_kept_and_whether_the_model_fits():
    page, window = page_bytes(XL, torch.bfloat16), 64
    wanted = budget(XL, "bf16", "cpu", 4 << 30)
    plenty = fitted(wanted, page, window, 40 << 30)
    assert plenty == wanted
    less = fitted(wanted, page, window, 8 << 30)
    assert 2 * window <= less.capacity < wanted.capacity and less.limit < wanted.limit
    assert less.weights + less.work + less.capacity * page < 8 << 30
    with pytest.raises(ModelError, match=r"wants [45]\.\d GB of the graphics card's memory, of which 4\.0 GB are free"):
        fitted(wanted, page, window, 4_000_000_000)


def test_more_texts_than_there_are_pages_for_get_one_sentence_and_the_others_go_on():
    engine = CudaEngine(SMALL, weights(SMALL), "fp32", "cpu", cache_bytes=0)
    sequences = []
    with pytest.raises(ModelError, match="holds no more texts at once"):
        for number in range(40):
            sequences.append(engine.open([number, 1, 2], Sampling(temperature=0)))
            engine.prefill(sequences[-1])
    assert len(sequences) >= 16
    engine.close(sequences.pop())
    assert all(len(tokens) >= 1 for tokens in engine.decode(sequences))
    engine.close(sequences.pop())
    another = engine.open([5, 6, 7], Sampling(temperature=0))
    assert engine.prefill(another) and engine.decode([another])
