"""The promises of the engine: the cache, the batch, a restart and the window never change what is generated."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.reference import reference_generate, reference_logits
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.errors import UsageError
from gpt2_assist.model.gpt2 import GPT2, GPT2Config

CONFIG = GPT2Config(n_layer=2, n_head=3, n_embd=24, n_ctx=150, vocab_size=211)


@pytest.fixture(scope="module")
def model() -> GPT2:
    model = GPT2(CONFIG)
    model.initialise(torch.Generator().manual_seed(5))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    return model.eval()


def fresh(model: GPT2, precision: str = "fp32", cache_bytes: int = 1 << 30) -> TorchEngine:
    return TorchEngine(CONFIG, dict(model.state_dict()), precision, "cpu", cache_bytes)


def prefilled(engine: TorchEngine, *arguments, **more):
    sequence = engine.open(*arguments, **more)
    while not engine.prefill(sequence):
        pass
    return sequence


def generate(engine: TorchEngine, prompt, sampling, count, index=0, new_tokens=()):
    sequence = engine.open(prompt, sampling, index, new_tokens)
    for _ in range(count - len(new_tokens)):
        while not engine.ready(sequence):
            engine.prefill(sequence)
        engine.decode([sequence])
    engine.close(sequence)
    return sequence.tokens[len(prompt):]


def random_tokens(seed: int, count: int) -> list[int]:
    return torch.randint(CONFIG.vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(seed=3, top_k=20),
                                      Sampling(seed=4, top_p=0.9, repetition_penalty=1.3)])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 149, 150, 151, 400])
def test_it_generates_what_the_reference_does_also_past_the_context(model, sampling, length):
    prompt = random_tokens(length, length)
    expected = [token.id for token in reference_generate(model, prompt, sampling, 60)]
    assert generate(fresh(model), prompt, sampling, 60) == expected


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_any_editing_gives_the_logits_of_a_fresh_pass_bit_for_bit(model, precision, data):
    engine = fresh(model, precision, data.draw(st.sampled_from([1 << 30, 60_000, 0]), "cache bytes"))
    text = random_tokens(0, 40)
    for number in range(data.draw(st.integers(1, 8), "edits")):
        place = data.draw(st.integers(0, len(text)), "place")
        edit = data.draw(st.sampled_from(["extend", "replace", "truncate"]), "edit")
        piece = random_tokens(number + 1, data.draw(st.integers(1, 120), "size"))
        text = {"extend": text + piece, "replace": text[:place] + piece[:9] + text[place + 5:],
                "truncate": text[:max(1, place)]}[edit]
        sequence = prefilled(engine, text, Sampling())
        logits = engine.logits(sequence)
        engine.close(sequence)
        other = fresh(model, precision)
        assert torch.equal(logits, other.logits(prefilled(other, text, Sampling())))
        if precision == "fp32":
            assert (logits - reference_logits(model, text)).abs().max() < 1e-3 * logits.abs().max()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_batch_a_cache_and_a_restart_do_not_change_a_sample(model, precision):
    sampling, prompt = Sampling(seed=11, temperature=1.0), random_tokens(1, 90)
    alone = [generate(fresh(model, precision), prompt, sampling, 80, index) for index in range(5)]
    assert len(set(map(tuple, alone))) == 5
    engine = fresh(model, precision)
    stranger = prefilled(engine, random_tokens(2, 33), Sampling(seed=1))
    sequences = [engine.open(prompt, sampling, index) for index in range(5)]
    while any(len(sequence.tokens) < 170 for sequence in sequences):
        for sequence in (stranger, *sequences):
            if not engine.ready(sequence):
                engine.prefill(sequence)
        ready = [sequence for sequence in (stranger, *sequences) if engine.ready(sequence)]
        engine.decode(ready[:1] + [sequence for sequence in ready[1:] if len(sequence.tokens) < 170])
    assert [sequence.tokens[90:] for sequence in sequences] == alone
    for place in (1, 30, 59, 61, 79):
        assert generate(fresh(model, precision), prompt, sampling, 80, 2, alone[2][:place]) == alone[2]


def test_a_shared_beginning_is_not_computed_again(model):
    engine, prompt = fresh(model), random_tokens(4, 100)
    engine.close(prefilled(engine, prompt, Sampling()))
    assert engine.open(prompt + [1, 2], Sampling()).cached_tokens == 99
    assert engine.open(prompt[:50] + [7] + prompt[50:], Sampling()).cached_tokens in (50, 51)
    assert engine.open([(prompt[0] + 1) % CONFIG.vocab_size, *prompt], Sampling()).cached_tokens == 0
    samples = [engine.open(random_tokens(9, 70), Sampling(), index) for index in range(3)]
    held = engine.cached_tokens()
    for sample in samples:
        while not engine.prefill(sample):
            pass
    assert engine.cached_tokens() == held + 3 * 69


def test_the_cache_stays_within_its_bytes_and_never_drops_a_live_sequence(model):
    row = 2 * CONFIG.n_layer * CONFIG.n_embd * 4
    engine = fresh(model, cache_bytes=300 * row)
    live = prefilled(engine, random_tokens(50, 128), Sampling(temperature=0))
    for seed in range(10):
        engine.close(prefilled(engine, random_tokens(seed, 100), Sampling()))
        assert engine.cached_tokens() <= 300
    engine.decode([live])
    expected = reference_generate(model, random_tokens(50, 128), Sampling(temperature=0), 1)
    assert live.tokens[-1] == expected[0].id


def test_log_probabilities_are_the_models_own(model):
    prompt = random_tokens(6, 20)
    engine = fresh(model)
    token, = engine.decode([prefilled(engine, prompt, Sampling(temperature=3.0, logit_bias={7: 50.0}, logprobs=4))])
    expected = reference_logits(model, prompt).double().log_softmax(0)
    assert token.id == 7 and token.logprob == pytest.approx(expected[7].item(), abs=1e-3)
    values, ids = expected.topk(4)
    assert [id for id, _ in token.best] == ids.tolist()
    assert [value for _, value in token.best] == pytest.approx(values.tolist(), abs=1e-3)


def test_what_no_model_could_continue_is_refused(model):
    for prompt in ([], [CONFIG.vocab_size], [-1]):
        with pytest.raises(UsageError):
            fresh(model).open(prompt, Sampling())
