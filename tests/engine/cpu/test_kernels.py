"""Every kernel gives the bits of its plain numpy version, on every form of products that this processor has."""
import json
import math
import os
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import digests
import kernels
import numpy as np
import pytest
import wild
from hypothesis import given, settings
from hypothesis import strategies as st
from wild import assert_same, numbers, wide

from gpt2_assist.architectures.description import MATRICES
from gpt2_assist.engine.cpu import forms, plain
from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.model.bfloat16 import to_bf16
from gpt2_assist.model.packing import ALL_KINDS, KINDS, pack, packed_shape, unpack

pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")

often = settings(max_examples=80, deadline=None)
moods = st.sampled_from(wild.MOODS)
widths = st.sampled_from(wild.WIDTHS) | st.integers(1, 200)
counts = st.integers(1, 8)
dice = st.integers(0, 2**32).map(np.random.default_rng)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def cancelling(x: float, y: float) -> tuple[float, float, float]:
    """Factors, and an addend that takes their product away again but for what rounding it has lost."""
    with np.errstate(over="ignore"):
        z = -float(np.float32(x) * np.float32(y))
    return x, y, z if math.isfinite(z) else 0.0


def almost_between(z: float, below: bool, down: bool) -> tuple[float, float, float]:
    """Factors whose product is half a step of the addend, but for so little that float64 rounds it away."""
    half = float(np.spacing(np.float32(z))) / 2
    x, y = (1 + 2.0 ** -23, 1 - 2.0 ** -23) if below else (1 + 2.0 ** -12, 1 - 2.0 ** -12 + 2.0 ** -24)
    return float(np.float32(-half * x if down else half * x)), y, z


@settings(max_examples=1000, deadline=None)
@given(st.tuples(finite, finite, finite) | st.builds(cancelling, finite, finite)
       | st.builds(almost_between, st.floats(-2.0 ** 99, 2.0 ** 99, width=32), st.booleans(), st.booleans()))
def test_the_plain_fused_addition_rounds_the_exact_sum_once(numbers):
    x, y, z = numbers
    exact, largest = Fraction(x) * Fraction(y) + Fraction(z), Fraction(float(np.finfo(np.float32).max))
    result = plain.fma(*np.float32([x, y, z]))
    if abs(exact) >= largest + Fraction(2) ** 103:  # half a step beyond the largest number
        assert result == math.copysign(math.inf, exact)
        return
    off = abs(Fraction(float(result)) - exact)
    for neighbour in np.nextafter(result, np.float32([-np.inf, np.inf])):
        if np.isfinite(neighbour):
            other = abs(Fraction(float(neighbour)) - exact)
            assert off < other or off == other and int(result.view(np.int32)) % 2 == 0


def test_the_plain_exponential_and_gelu_are_those_of_mathematics():
    x = np.linspace(plain.EXP_LOW, plain.EXP_HIGH, 20_001, dtype=np.float32)
    np.testing.assert_allclose(plain.exp(x), np.exp(x.astype(np.float64)), rtol=2e-7)
    x = np.linspace(-30, 30, 20_001, dtype=np.float32)
    wide_x = x.astype(np.float64)
    exact = wide_x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide_x + 0.044715 * wide_x ** 3)))
    np.testing.assert_allclose(plain.gelu_tanh(x), exact, rtol=1e-6, atol=1e-6)
    exact = [value / 2 * (1 + math.erf(value / math.sqrt(2))) for value in wide_x]
    np.testing.assert_allclose(plain.gelu(x), exact, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(plain.gated(x, x), wide_x ** 2 / (1 + np.exp(-wide_x)), rtol=1e-6, atol=1e-10)


@often
@given(dice, moods, widths, counts, st.sampled_from((1e-5, 1e-12, 0.5)))
def test_layer_norm(dice, mood, width, count, epsilon):
    x, (weight, bias) = wide(numbers(dice, mood, (count, width))), wide(numbers(dice, "outlier", (2, width)))
    assert_same(kernels.layer_norm(x, weight, bias, width, epsilon), plain.layer_norm(x, weight, bias, width, epsilon))


@often
@given(dice, moods, widths, counts, st.sampled_from(sorted(plain.GROUPS)))
def test_groups_of_activations_are_quantised(dice, mood, width, count, kind):
    x = wide(numbers(dice, mood, (count, width)))
    assert_same(kernels.quantise(x, kind), plain.quantise(x, kind))


@often
@given(dice, moods, widths, st.floats(-20, 20))
def test_activations(dice, mood, width, shift):
    x = wide(numbers(dice, mood, (width,)) + np.float32(shift))
    for name in ("gelu_tanh", "gelu", "relu"):
        assert_same(getattr(kernels, name)(x), getattr(plain, name)(x))


@often
@given(dice, moods, moods, widths, st.floats(-20, 20))
def test_gates(dice, mood, other, width, shift):
    gates = wide(numbers(dice, mood, (width,)) + np.float32(shift))
    through = wide(numbers(dice, other, (width,)))
    assert_same(kernels.gated(gates, through), plain.gated(gates, through))


@often
@given(dice, moods, widths, counts, st.sampled_from((1e-5, 1e-12, 0.5)))
def test_rms_norm(dice, mood, width, count, epsilon):
    x, weight = wide(numbers(dice, mood, (count, width))), wide(numbers(dice, "outlier", (width,)))
    assert_same(kernels.rms_norm(x, weight, width, epsilon), plain.rms_norm(x, weight, width, epsilon))


@often
@given(dice, moods, moods, widths, st.booleans())
def test_biases_and_residuals_are_added(dice, mood, other, width, keep):
    x, bias, out = (wide(numbers(dice, kind, (width,))) for kind in (mood, other, mood))
    assert_same(kernels.add_to(x, bias, out if keep else None), plain.add_to(x, bias, out if keep else None))


@often
@given(dice, moods, moods, st.integers(1, 9))
def test_scores(dice, mood, other, blocks):
    query, keys = numbers(dice, mood, (16 * blocks,)), to_bf16(numbers(dice, other, (16 * blocks, 16)))
    assert_same(kernels.scores_of(query, keys), plain.scores_of(query, keys))


@often
@given(dice, moods, moods, st.integers(1, 200))
def test_softmax_looks_at_no_score_beyond_the_last(dice, mood, other, count):
    scores = np.concatenate([numbers(dice, mood, (count,)), numbers(dice, other, (-count % 16 + 1,))[:-1]])
    assert_same(kernels.softmax(scores, count), plain.softmax(scores, count))


@often
@given(dice, moods, moods, st.integers(1, 16), st.integers(1, 9))
def test_values_are_mixed(dice, mood, other, count, blocks):
    shares, out = np.abs(numbers(dice, mood, (count,))), numbers(dice, other, (16 * blocks,))
    values = to_bf16(numbers(dice, other, (count, 16 * blocks)))
    assert_same(kernels.mix_values(shares, values, out), plain.mix_values(shares, values, out))


@often
@given(dice, moods, moods, widths, counts)
def test_an_adapters_first_half(dice, mood, other, width, count):
    x, columns = wide(numbers(dice, mood, (count, width))), numbers(dice, other, (64 * -(-width // 64), 16))
    assert_same(kernels.low_rank(x, columns), plain.low_rank(x, columns))


@often
@given(dice, moods, moods, st.integers(1, 40), st.integers(1, 3), counts)
def test_an_adapters_second_half(dice, mood, other, rank, tiles, count):
    low, weights = numbers(dice, mood, (count, rank)), numbers(dice, other, (tiles, rank, 32))
    out = numbers(dice, other, (count, tiles, 32))
    assert_same(kernels.widen_low_rank(low, weights, out), plain.widen_low_rank(low, weights, out))


@often
@given(dice, moods, widths, finite)
def test_a_row_is_scaled(dice, mood, width, factor):
    x = wide(numbers(dice, mood, (width,)))
    assert_same(kernels.scale_row(x, factor), plain.scale_row(x, np.float32(factor)))


@pytest.mark.parametrize("kind", ALL_KINDS)
@settings(max_examples=60, deadline=None)
@given(dice, moods, moods, st.sampled_from(wild.WIDTHS), st.integers(1, 70), counts)
def test_products(kind, dice, mood, other, inputs, outputs, count):
    packed, x = pack(numbers(dice, other, (inputs, outputs)), kind), wide(numbers(dice, mood, (count, inputs)))
    assert_same(kernels.multiply(kind, packed, x), plain.multiply(kind, packed, x))


@pytest.mark.parametrize("kind", plain.GROUPS)
@often
@given(dice, st.sampled_from((64, 128, 768)), counts, st.sampled_from((0, 1, 255, None)), st.sampled_from((-127, 127)))
def test_products_of_any_bytes(kind, dice, inputs, count, byte, limit):
    shape = packed_shape(kind, inputs, 64)
    packed = dice.integers(256, size=shape, dtype=np.uint8) if byte is None else np.full(shape, byte, np.uint8)
    aside = 128 if kind == "int4_min" else 64
    packed[..., -aside:] = to_bf16(numbers(dice, "outlier", (*shape[:2], aside // 2))).view(np.uint8)
    rows = dice.choice([-128, limit, limit, limit, 0, 1], size=(count, inputs)).astype(np.int8)
    first = dice.integers(-2**30, 2**30, (count, shape[1]), dtype=np.int32)
    scales = numbers(dice, "plain", (count, shape[1]))
    assert_same(kernels.integer_product(kind, packed, rows, first, scales),
                plain.integer_product(kind, packed, rows, first, scales))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_product_is_that_of_the_numbers_that_the_packed_ones_mean(kind):
    dice = np.random.default_rng(1)
    packed, x = pack(numbers(dice, "outlier", (130, 50)), kind), wide(numbers(dice, "outlier", (3, 130)))
    weights, inputs = unpack(packed, kind, 130, 50).astype(np.float64), x[:, :130].astype(np.float64)
    if kind in plain.GROUPS:
        quantised, _, scales = plain.quantise(x, kind)
        inputs = (quantised * np.repeat(scales, plain.GROUPS[kind], axis=1).astype(np.float64))[:, :130]
    largest = np.abs(inputs) @ np.abs(weights)
    assert (np.abs(plain.multiply(kind, packed, x)[:, :50] - inputs @ weights) <= 1e-6 * largest).all()


@cache
def a_text() -> list[int]:
    """As many tokens as fit."""
    return np.random.default_rng(3).integers(211, size=50).tolist()


@cache
def plain_logits(name: str, precision: str, adapted: tuple | None) -> np.ndarray:
    packed = adapted and PackedAdapter(wild.MODELS[name], wild.adapter(name, *adapted), 0.7)
    return plain.forward(wild.model(name, precision), a_text(), packed)


@pytest.mark.parametrize("precision", KINDS)
@pytest.mark.parametrize("name", wild.MODELS)
@pytest.mark.parametrize("adapted", [
    pytest.param((33, MATRICES), id="all adapted"), pytest.param(None, id="", marks=pytest.mark.slow),
    pytest.param((5, ("qkv", "down")), id="some adapted", marks=pytest.mark.slow)])
class TestAForwardPass:
    @pytest.mark.parametrize("threads", [2, pytest.param(1, marks=pytest.mark.slow)])
    def test_at_once(self, name, precision, adapted, threads):
        engine = CpuEngine(wild.model(name, precision), threads=threads)
        number = engine.add_adapter(wild.adapter(name, *adapted), 0.7) if adapted else 0
        assert_same(engine.all_logits(a_text(), number), plain_logits(name, precision, adapted))

    @settings(max_examples=15, deadline=None)
    @given(st.sets(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 2))
    def test_in_any_pieces(self, name, precision, adapted, ends, threads):
        engine = CpuEngine(wild.model(name, precision), threads=threads)
        number = engine.add_adapter(wild.adapter(name, *adapted), 0.7) if adapted else 0
        for end in sorted(ends):
            sequence = engine.open(a_text()[:end], Sampling(), adapter=number)
            while not engine.prefill(sequence):
                pass
            assert_same(engine.logits(sequence), plain_logits(name, precision, adapted)[end - 1])
            engine.close(sequence)  # its keys and values stay, and the next one begins with them


@cache
def own_digests() -> dict[str, str]:
    return digests.digests()


@pytest.mark.slow
@pytest.mark.timeout(400)  # a form that was never used here is compiled first
@pytest.mark.parametrize("form", [form for form in forms.available() if form != forms.NAME])
def test_all_forms_give_the_same_bits(form):
    run = subprocess.run([sys.executable, Path(digests.__file__)], env={**os.environ, "GPT2_ASSIST_SIMD": form},
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == own_digests()
