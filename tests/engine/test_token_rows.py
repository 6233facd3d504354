"""Adapters that have tokens of their own, with rows of the embedding: each engine reads these, and writes none."""
import numpy as np
import pytest
import torch
from engines import CONFIG, adapters, fresh, generate, model, prefilled, prepared

from gpt2_assist.engine.cpu import plain
from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.weights import model_of
from gpt2_assist.training.adapted_weights import merged

OWN = CONFIG.vocab_size + 4
PROMPT = [OWN, 5, 9, 200, 7, 31, OWN, 7, 90, OWN, 12]
KINDS = ["torch-fp32", "cpu-fp32", "cpu-int8", "cpu-int4", "cpu-bf16"]


def with_rows() -> Adapter:
    """One with a row for a token that the base has, and one for one that it lacks."""
    first = adapters()[0]
    rows = np.random.default_rng(1).normal(0, 0.2, (2, CONFIG.n_embd)).astype(np.float32)
    return Adapter(first.shape, first.pairs, {7: rows[0], OWN: rows[1]})


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_that_of_the_model_that_has_the_rows_in_its_embedding(kind):
    engine = fresh(kind)
    number = engine.add_adapter(with_rows())
    weights = merged(dict(model().state_dict()), with_rows())
    whole = model_of(CONFIG.__class__(**{**vars(CONFIG), "vocab_size": OWN + 1}), weights)
    with torch.no_grad():
        expected = whole(torch.tensor([PROMPT]))[0, -1, :CONFIG.vocab_size].numpy()
    sequence = prefilled(engine, PROMPT, Sampling(), adapter=number)
    logits = np.asarray(engine.logits(sequence)).copy()
    assert logits.shape == (CONFIG.vocab_size,)
    if kind.endswith("fp32"):
        logits[7] = expected[7]  # as something to be written a token stays what it is in the base
        np.testing.assert_allclose(logits, expected, atol=1e-3 if kind.startswith("torch") else 0.02)
    if kind.startswith("cpu"):
        packed = PackedAdapter(CONFIG, with_rows(), 1.0)
        assert (engine.all_logits(PROMPT, number) == plain.forward(prepared("", kind[4:]), PROMPT, packed)).all()


@pytest.mark.parametrize("kind", KINDS[:3])
def test_others_dont_notice_and_none_can_be_asked_of_a_model_without_them(kind):
    engine = fresh(kind, speculate=True)
    number = engine.add_adapter(with_rows())
    sampling = Sampling(temperature=0.7, repetition_penalty=1.2, seed=3)
    prompt = [5, 9, 7, 31]
    before = [generate(engine, prompt, sampling, 12, adapter=other) for other in (0, 1, 2)]
    own = generate(engine, PROMPT * 3, sampling, 12, adapter=number)
    assert max(own) < CONFIG.vocab_size and own == generate(engine, PROMPT * 3, sampling, 12, adapter=number)
    again = [generate(engine, [*PROMPT[1:6], *prompt], sampling, 12, adapter=other) for other in (0, 1, 2)]
    assert again == [generate(fresh(kind), [*PROMPT[1:6], *prompt], sampling, 12, adapter=other) for other in (0, 1, 2)]
    assert before == [generate(engine, prompt, sampling, 12, adapter=other) for other in (0, 1, 2)]
    for other in (0, 1):
        with pytest.raises(UsageError):
            engine.open(PROMPT, sampling, adapter=other)


def test_the_cards_engine_says_that_it_cant(monkeypatch):
    with pytest.raises(ModelError, match="runs merge"):
        fresh("cuda-fp32").add_adapter(with_rows())
