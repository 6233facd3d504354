"""The fused kernels beside their plain form: on a card where there is one, else in Triton's interpreter."""
from dataclasses import replace

import numpy as np
import pytest
import steps
import torch
from steps import DEVICE, NO_BUILDS, PAGES, made, rotary

from gpt2_assist.architectures import gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine import sampling as sampling_module
from gpt2_assist.engine.cuda import rows, shapes
from gpt2_assist.engine.cuda.plain import PlainKernels
from gpt2_assist.engine.cuda.pool import DevicePages
from gpt2_assist.engine.cuda.step import Residual, Step
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.sampling import drawn, reported, uniform

pytestmark = [pytest.mark.skipif(NO_BUILDS, reason="Triton has no builds for this platform"),
              pytest.mark.filterwarnings("ignore:invalid value")]  # the interpreter computes in masked places too
CONFIGS = {
    "odd": gpt2.decoder(2, 3, 24, 150, 211), "wide": gpt2.decoder(1, 17, 272, 150, 130),
    "relative": gpt2.decoder(2, 3, 24, 150, 211, activation="gelu", n_inner=77, tied=False, scaled_by_layer=True),
    "relu": gpt2.decoder(1, 3, 24, 150, 211, activation="relu", n_inner=40, scaled=False),
    "Llama": rotary("llama", n_head=6, n_kv_head=2), "Qwen2": rotary("qwen2", n_head=3, n_kv_head=1, biases=("qkv",)),
    "Qwen3": rotary("qwen3", n_head=4, n_kv_head=2, head_width=16, head_norms=True, tied=False),
    "wide Llama": rotary("llama", n_layer=1, n_embd=272, n_head=17, n_kv_head=1, head_width=16, n_inner=300)}
"""The wide ones' sums are cut into parts."""
TOLERANCE = {"fp32": 2e-6, "bf16": 0.01, "int8": 0.01}
"""Of the largest: what is a last bit in a sum can be one in bfloat16 behind it."""


def tokens_of(config: Decoder, seed: int, count: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, config.vocab_size, count).tolist()


def read(step: Step, text: list[int], pages: list[int], start: int = 0, adapter: int = 0) -> None:
    table = step.reading.table
    table.clear()
    table.put(0, text, start, adapter)
    table.put_pages(0, np.array(pages), start + len(text))
    step.reading.upload()
    step.read(len(text))


def tell(step: Step, texts: list[tuple], sampling: Sampling) -> int:
    """Rows for each of `texts` (tokens, start, pages, adapter), side by side; how many they are."""
    table = step.decoding.table
    table.clear()
    row = 0
    for index, (tokens, start, pages, adapter) in enumerate(texts):
        table.put(row, tokens, start, adapter)
        for place in range(row, row + len(tokens)):
            table.put_pages(place, np.array(pages), start + len(tokens))
            table.put_sampling(place, sampling, index, place - row, 0)
        row += len(tokens)
    step.decoding.upload()
    return row


def held(pool: DevicePages, pages: list[int], count: int) -> torch.Tensor:
    """Keys and values of the first positions in pages, [layers, 2, heads, count, width]."""
    return torch.cat([*pool.data[pages].float()], dim=3)[:, :, :, :count].cpu()


def near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    return bool((found.cpu() - expected.cpu()).abs().max() <= tolerance * expected.abs().max().cpu())


@pytest.mark.parametrize(("name", "precision"), [
    ("odd", "fp32"), ("odd", "bf16"), ("odd", "int8"), ("wide", "bf16"), ("relative", "fp32"), ("Llama", "bf16"),
    ("Qwen2", "fp32"), ("Qwen3", "int8"), ("wide Llama", "bf16"), ("wide Llama", "fp32")])
@pytest.mark.slow
def test_a_prefill_and_a_step_are_what_they_are_in_plain_torch(name, precision):
    config = CONFIGS[name]
    both = [made(config, precision, fused) for fused in (False, True)]
    first, second, third = list(range(8)), list(range(8, 16)), list(range(16, 24))
    text, other = tokens_of(config, 1, 30), tokens_of(config, 2, 20)
    for step, _ in both:
        read(step, text, first, 60)
        read(step, other, second, adapter=2)
    for pages, count in ((first, 90), (second, 20)):
        assert near(held(both[1][1], pages, count), held(both[0][1], pages, count), TOLERANCE[precision])
    for step, _ in both:
        count = tell(step, [(text[:3], 90, first, 0), (other[:1], 0, third, 1), (other[:1], 20, second, 2)],
                     Sampling(temperature=0))
        step.decode(count, 100, 1)
    for pages, count in ((first, 93), (second, 21), (third, 1)):
        assert near(held(both[1][1], pages, count), held(both[0][1], pages, count), TOLERANCE[precision])
    plain, fused = (step.scores for step, _ in both)
    assert near(fused.logits[:5], plain.logits[:5], TOLERANCE[precision])
    assert near(fused.figures[:, :5], plain.figures[:, :5], 10 * TOLERANCE[precision])
    highest = plain.logits[:5].topk(2).values
    clear = (highest[:, 0] - highest[:, 1] > 2 * TOLERANCE[precision] * plain.logits[:5].abs().max()).cpu()
    assert clear.sum() >= 2
    assert torch.equal(fused.tokens[0, :5].cpu()[clear], plain.tokens[0, :5].cpu()[clear])


@pytest.mark.parametrize(("name", "precision"), [
    ("Llama", "int8"),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("Qwen3", "fp32"), ("relative", "bf16"), ("relu", "fp32"), ("Llama", "fp32"), ("Llama", "bf16"),
        ("Qwen2", "bf16"), ("Qwen3", "bf16")))])
def test_a_step_of_each_architecture_is_what_it_is_in_plain_torch(name, precision):
    both = [made(CONFIGS[name], precision, fused) for fused in (False, True)]
    texts = [([5], 6, list(range(8)), 1), ([7], 66, list(range(8, 16)), 2)]
    for step, _ in both:
        step.decode(tell(step, texts, Sampling(temperature=0)), 67, 1)
    plain, fused = both
    assert near(fused[0].scores.logits[:2], plain[0].scores.logits[:2], TOLERANCE[precision])
    for _, start, pages, _ in texts:
        assert near(held(fused[1], pages, start + 1), held(plain[1], pages, start + 1), TOLERANCE[precision])


@pytest.mark.parametrize(("name", "precision"), [
    ("odd", "fp32"), ("odd", "int8"), ("wide", "bf16"), ("Llama", "bf16"), ("Qwen3", "fp32"), ("wide Llama", "bf16"),
    ("relative", "bf16")])
@pytest.mark.slow
def test_a_row_has_the_same_bits_alone_and_among_others(name, precision):
    step, pool = made(CONFIGS[name], precision, True)
    pages, others = list(range(8)), list(range(8, 16))
    step.decode(tell(step, [([5], 66, pages, 0)], Sampling(temperature=0)), 67, 1)
    logits, kept = step.scores.logits[0].clone(), held(pool, pages, 67)
    for reach, texts in ((140, [([5], 66, pages, 0), ([3, 4, 6], 66, others, 1)]), (67, [([5], 66, pages, 0)] * 2)):
        step.decode(tell(step, texts, Sampling(temperature=0)), reach, 1)
        assert torch.equal(step.scores.logits[0], logits)
        assert torch.equal(held(pool, pages, 67), kept)


@pytest.mark.slow
def test_the_norms_figures_have_the_same_bits_and_are_right():
    config = gpt2.decoder(1, 4, 768, 64, 50)
    step, pool = made(config, "fp32", True)
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(32, 768, generator=dice)
    x[1:9] *= torch.logspace(-2, 4, 8)[:, None]
    x[9:, 300] = 3000.0
    read(step, tokens_of(config, 1, 32), list(range(4)))  # gives the rows positions
    whole = x.to(DEVICE)
    found = []
    for kernels in (step._kernels, PlainKernels(step._weights, None, pool)):
        kernels.measure(replace(step._chunk, count=32), Residual(whole), None)
        found.append(step._chunk.figures[:32].cpu().clone())
    assert torch.equal(*found)
    exact = x.double()
    deviation = 1 / torch.sqrt(exact.var(1, correction=0) + config.epsilon)
    assert (found[0][:, 0] - exact.mean(1)).abs().max() < 1e-6 * x.abs().max()
    assert (found[0][:, 1] / deviation - 1).abs().max() < 1e-5


V = 9000
"""More blocks of scores than are looked at when a token is chosen among the best."""


@pytest.fixture(scope="module")
def choice() -> Step:
    return made(gpt2.decoder(1, 1, 16, 64, V), "fp32", True)[0]


def choose(step: Step, scores: np.ndarray, sampling: Sampling, index: int, number: int) -> tuple[int, dict]:
    """What the kernel makes of a row of scores: the token, or -1, and what it reports."""
    tell(step, [([0], 0, [0], 0)], sampling)
    step.decoding.table.put_sampling(0, sampling, index, number, 0)
    step.decoding.upload()
    values = torch.from_numpy(scores).to(DEVICE)
    step.scores.logits[0] = step.scores.scores[0] = values
    blocks = torch.nn.functional.pad(values, (0, -V % shapes.SCORES), value=float("-inf")).view(-1, shapes.SCORES)
    top = blocks.amax(1)
    filtering = sampling.temperature_of(number) if sampling.filtered_hot else 1.0
    for place, temperature in ((0, filtering or 1.0), (2, 1.0)):
        weights = torch.exp((blocks - torch.where(top.isinf(), 0, top)[:, None]) / temperature)
        step.scores.figures[place, 0], step.scores.figures[place + 1, 0] = top, weights.sum(1)
    step._kernels.choose(replace(step._rows, count=1), step.scores)
    after = step.decoding.fields[0].cpu().numpy()
    token = int(step.scores.tokens[0, 0])
    assert after[rows.TOKEN] == max(token, 0)
    assert after[rows.POSITION] == 1 and after[rows.NUMBER] == number + 1 and after[rows.STEP] == 1
    return token, {"chances": step.scores.chances[0, 0].cpu().numpy(), "best": step.scores.best[0, 0].cpu().numpy()}


def scores_of(kind: str, dice: np.random.Generator) -> np.ndarray:
    """float32 [V] of one of several shapes."""
    if kind == "model-like":
        return (dice.standard_normal(V) * 2.5 + 8 * (dice.random(V) < 0.001)).astype(np.float32)
    if kind == "few":  # as where only some tokens are allowed
        few = np.full(V, -np.inf, np.float32)
        few[dice.integers(0, V, 3)] = dice.standard_normal(3)
        return few
    if kind == "ties":
        return dice.integers(-3, 4, V).astype(np.float32) + np.float32(6) * (dice.random(V) < 0.002)
    return (dice.standard_normal(V) * 0.1).astype(np.float32)


HOT = ("top_k", "temperature", "top_p", "min_p")
"""An order in which the filters see chances at the text's temperature, not at 1."""
FILTERS = [Sampling(temperature=0), Sampling(temperature=1.0), Sampling(temperature=0.7, top_k=40),
           Sampling(temperature=1.3, top_k=1), Sampling(temperature=0.8, top_p=0.9, samplers=HOT),
           Sampling(temperature=0.5, top_k=100, top_p=0.8), Sampling(temperature=0.6, min_p=0.05),
           Sampling(temperature=0.9, top_k=30, top_p=0.95, min_p=0.01), Sampling(temperature=1e-4),
           Sampling(temperature=0.3, top_p=0.3), Sampling(temperature=0.4, top_p=0.5, samplers=HOT),
           Sampling(temperature=0.7, top_k=60, top_p=0.9, min_p=0.02, samplers=HOT),
           Sampling(temperatures=(0.3, 0.6), top_p=0.4, min_p=0.01)]


def near_an_edge(scores: np.ndarray, sampling: Sampling, found: int, index: int, number: int) -> bool:
    """Whether a draw a little higher or lower would give the token that was found: float32 may not tell them apart."""
    true = uniform(sampling.seed, index, number)
    for shifted in (true - 2e-6, true + 2e-6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampling_module, "uniform", lambda *_, shifted=shifted: min(max(shifted, 0.0), 1 - 2 ** -53))
            if drawn(scores, sampling, index, number) == found:
                return True
    return False


@pytest.mark.parametrize(("kind", "sampling"), [
    pytest.param(kind, sampling, marks=() if kind == "few" and place in (0, 7, 11) else pytest.mark.slow)
    for kind in ("model-like", "few", "ties", "flat") for place, sampling in enumerate(FILTERS)])
def test_it_chooses_what_the_hosts_sampling_does(choice, sampling, kind):
    dice = np.random.default_rng([FILTERS.index(sampling), len(kind)])
    left = 0
    for number in range(6):
        scores = scores_of(kind, dice)
        sampling = replace(sampling, seed=int(dice.integers(1 << 62)), logprobs=number % 3 or None)
        token, report = choose(choice, scores, sampling, number, 7 * number)
        expected = drawn(scores, sampling, number, 7 * number)
        if token < 0:
            left += 1
            continue
        assert token == expected or near_an_edge(scores, sampling, token, number, 7 * number)
        if sampling.logprobs:
            said = reported(token, scores, sampling.logprobs)
            assert report["chances"][:1 + len(said.best)].tolist() == pytest.approx(
                [said.logprob, *(value for _, value in said.best)], abs=1e-5)
            assert report["best"][:len(said.best)].tolist() == [id for id, _ in said.best]
    if kind in ("model-like", "few") and sampling.temperature < 1:
        assert not left, "what can be chosen among few is chosen on the card"


def test_what_needs_more_room_is_left_to_the_host(choice):
    flat = scores_of("flat", np.random.default_rng(0))
    for sampling in (Sampling(top_p=0.99), Sampling(top_k=2000), Sampling(min_p=1e-4)):
        assert choose(choice, flat, sampling, 0, 0)[0] == -1


@pytest.mark.slow
@pytest.mark.parametrize("new", [False, True])
def test_a_fused_engine_leaves_no_token_out_that_the_host_must_choose(new):
    from gpt2_assist.engine.cuda.cuda_engine import CudaEngine
    config = gpt2.decoder(1, 1, 16, 64, V)
    weights = steps.random_weights(config, 3)
    found = []
    for fused in (False, True):
        engine = CudaEngine(config, weights, "fp32", DEVICE, 1 << 20, fused=fused)
        engine.burst_s = 0.1  # several steps at once, of whose tokens the host must choose some
        samplings = [Sampling(temperature, top_p=0.98) for temperature in (5.0, 0.01, 5.0)]
        samplings += [Sampling(0.7, 30, xtc_probability=1.0), Sampling(0.7, 30, dry_multiplier=4.0),
                      Sampling(temperatures=(0.3, 0.9), top_k=9)] if new else []
        sequences = [engine.open([1, 2, 3, 1, 2], replace(sampling, seed=seed), seed)
                     for seed, sampling in enumerate(samplings)]
        for sequence in sequences:
            engine.prefill(sequence)
        while any(len(sequence.tokens) < 9 for sequence in sequences):
            engine.decode(sequences)
        found.append([sequence.tokens[:9] for sequence in sequences])
    assert found[0] == found[1]


def test_rows_that_no_model_has_are_refused():
    step, _ = made(CONFIGS["odd"], "fp32", False)
    table = step.decoding.table
    for bad in (lambda: table.put(0, [211], 0, 0), lambda: table.put(0, [-1], 0, 0),
                lambda: table.put(0, [1], 150, 0), lambda: table.put(0, [1], -1, 0),
                lambda: table.put(7, [1, 2], 0, 0), lambda: table.put(0, [1, 2], 149, 0),
                lambda: table.put_pages(0, np.array([PAGES]), 1), lambda: table.put_pages(0, np.array([-1]), 1),
                lambda: table.put_pages(0, np.array([1]), 17)):
        with pytest.raises(ValueError):
            bad()
