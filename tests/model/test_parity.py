"""GPT-2 exactly: the model and the engine beside transformers on random weights at real sizes."""
import pytest
import torch
from transformers import GPT2Config as HubConfig
from transformers import GPT2LMHeadModel

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.model.gpt2 import GPT2
from gpt2_assist.model.sizes import GPT2Config

SHAPES = {
    "tiny with odd sizes": GPT2Config(n_layer=3, n_head=5, n_embd=35, n_ctx=77, vocab_size=331),
    "124M": GPT2Config(n_layer=12, n_head=12, n_embd=768, n_ctx=1024, vocab_size=50257),
    "355M": GPT2Config(n_layer=24, n_head=16, n_embd=1024, n_ctx=1024, vocab_size=50257),
    "8 layers": GPT2Config(n_layer=8, n_head=8, n_embd=512, n_ctx=512, vocab_size=16000),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name == "355M" else name
                                  for name in SHAPES])
@torch.inference_mode()
def test_logits_and_greedy_text_equal_transformers(name):
    config = SHAPES[name]
    model = GPT2(config)
    model.initialise(torch.Generator().manual_seed(1))
    theirs = GPT2LMHeadModel(HubConfig(**config.to_hub())).eval()
    theirs.transformer.load_state_dict(model.state_dict(), strict=False)
    prompt = torch.randint(config.vocab_size, (12,), generator=torch.Generator().manual_seed(2)).tolist()

    engine = TorchEngine(config, dict(model.state_dict()), "fp32", "cpu")
    sequence = engine.open(prompt, Sampling(temperature=0))
    while len(sequence.tokens) < len(prompt) + 64:
        while not engine.ready(sequence):
            engine.prefill(sequence)
        if len(sequence.tokens) == len(prompt) + 40:
            logits = engine.logits(sequence)
        engine.decode([sequence])

    whole = torch.tensor([sequence.tokens])
    expected = theirs(whole).logits[0]
    assert (model(whole)[0] - expected).abs().max() < 1e-4
    assert (logits - expected[len(prompt) + 39]).abs().max() < 1e-4
    assert expected[len(prompt) - 1:-1].argmax(-1).tolist() == sequence.tokens[len(prompt):]
