"""Packed matrices: where every number lies, and that it means what an obvious loop says it means."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.model.bfloat16 import from_bf16, to_bf16
from gpt2_assist.model.packing import ALL_KINDS, int4_candidates, pack, packed_shape, packed_type, unpack

EXTREMES = [0.0, -0.0, 1e-45, -1e-40, 1e-38, 3e-20, -1.0, 65504.0, 1e30, -1e38]


def bf16(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float32).bfloat16())


@st.composite
def matrices(draw) -> np.ndarray:
    """Odd sizes, wild scales, outliers, groups of zeros."""
    inputs, outputs = draw(st.integers(1, 140)), draw(st.integers(1, 70))
    random = np.random.default_rng(draw(st.integers(0, 2 ** 32)))
    scale = np.float32(draw(st.sampled_from([1e-44, 1e-38, 1e-12, 0.02, 1.0, 1e20, 1e36])))
    weight = random.standard_normal((inputs, outputs)).astype(np.float32) * scale
    for _ in range(draw(st.integers(0, 8))):
        weight[random.integers(inputs), random.integers(outputs)] = draw(
            st.sampled_from(EXTREMES) | st.just(30 * scale) | st.just(-30 * scale))
    if draw(st.booleans()):
        weight[:, random.integers(outputs)] = 0
    if draw(st.booleans()):
        weight[:64] = 0
    return weight


def padded_to(weight: np.ndarray) -> np.ndarray:
    inputs, outputs = weight.shape
    return np.pad(weight, ((0, -inputs % 64), (0, -outputs % 32)))


@settings(max_examples=25, deadline=None)
@given(matrices())
def test_int8_lies_and_means_what_a_loop_says(weight):
    blocks, wide = pack(weight, "int8"), padded_to(weight)
    assert blocks.dtype == np.uint8 and blocks.shape == (wide.shape[1] // 32, wide.shape[0] // 64, 2112)
    meant = np.zeros_like(wide)
    for n in range(wide.shape[1]):
        for g in range(wide.shape[0] // 64):
            block = blocks[n // 32, g]
            group = wide[64 * g:64 * g + 64, n]
            scale = np.float32(bf16(np.abs(group).max() / np.float32(127)))
            place = 2048 + 2 * (n % 32)
            assert from_bf16(block[place:place + 2].view(np.uint16))[0] == scale
            for k in range(64):
                expected = int(np.clip(np.rint(group[k] / scale), -127, 127)) if scale else 0
                assert int(block[(k // 4) * 128 + (n % 32) * 4 + k % 4]) == expected + 128
                meant[64 * g + k, n] = np.float32(expected) * scale
    assert np.array_equal(unpack(blocks, "int8", *weight.shape), meant[:weight.shape[0], :weight.shape[1]])


@settings(max_examples=25, deadline=None)
@given(matrices())
def test_int4_lies_and_means_what_a_loop_says(weight):
    blocks, wide = pack(weight, "int4"), padded_to(weight)
    assert blocks.dtype == np.uint8 and blocks.shape == (wide.shape[1] // 32, wide.shape[0] // 32, 576)
    meant = np.zeros_like(wide)
    for n in range(wide.shape[1]):
        for g in range(wide.shape[0] // 32):
            block = blocks[n // 32, g]
            place = 512 + 2 * (n % 32)
            scale = from_bf16(block[place:place + 2].view(np.uint16))[0]
            for k in range(32):
                byte = int(block[(k // 8) * 128 + (n % 32) * 4 + k % 4])
                q = (byte >> 4 if k % 8 >= 4 else byte & 15) - 8
                number = wide[32 * g + k, n]
                assert q == (int(np.clip(np.rint(number / scale), -8, 7)) if scale else 0)
                meant[32 * g + k, n] = np.float32(q) * scale
    assert np.array_equal(unpack(blocks, "int4", *weight.shape), meant[:weight.shape[0], :weight.shape[1]])


@settings(max_examples=25, deadline=None)
@given(matrices())
def test_int4_min_lies_and_means_what_a_loop_says(weight):
    blocks, wide = pack(weight, "int4_min"), padded_to(weight)
    assert blocks.dtype == np.uint8 and blocks.shape == (wide.shape[1] // 32, wide.shape[0] // 32, 640)
    meant = np.zeros_like(wide)
    for n in range(wide.shape[1]):
        for g in range(wide.shape[0] // 32):
            block, group = blocks[n // 32, g], wide[32 * g:32 * g + 32, n]
            scale, minimum = (from_bf16(block[place + 2 * (n % 32):][:2].view(np.uint16))[0] for place in (512, 576))
            assert scale == np.float32(bf16(group.max() / np.float32(15) - group.min() / np.float32(15)))
            assert minimum == np.float32(bf16(group.min()))
            for k in range(32):
                byte = int(block[(k // 8) * 128 + (n % 32) * 4 + k % 4])
                q = byte >> 4 if k % 8 >= 4 else byte & 15
                assert q == int(np.clip(np.rint((group[k] - minimum) / (scale or np.float32(1))), 0, 15))
                meant[32 * g + k, n] = np.float32(q) * scale + minimum
    assert np.array_equal(unpack(blocks, "int4_min", *weight.shape), meant[:weight.shape[0], :weight.shape[1]])


def test_int4_min_keeps_the_numbers_of_a_grid_with_a_minimum():
    dice = np.random.default_rng(7)
    numbers = dice.integers(16, size=(64, 40))
    numbers[::32], numbers[1::32] = 0, 15  # as whoever chose scale and minimum made them
    scale, minimum = (np.repeat(dice.uniform(*ends, (2, 40)).astype(np.float16), 32, axis=0).astype(np.float32)
                      for ends in ((0.001, 0.1), (-1, 0)))
    weight = (numbers * scale + minimum).astype(np.float32)
    blocks = pack(weight, "int4_min")
    again = unpack(blocks, "int4_min", *weight.shape)
    assert np.abs(again - weight).max() <= 15 * scale.max() / 200, "but for the rounding of scale and minimum"
    bytes_there = blocks[..., :512].reshape(2, 2, 4, 32, 4)
    halves = np.stack([bytes_there & 15, bytes_there >> 4], axis=3)  # [tile, group, p, half, n, j]
    kept = halves.transpose(1, 2, 3, 5, 0, 4).reshape(64, 64)[:, :40]
    assert np.array_equal(kept, numbers)


@settings(max_examples=50, deadline=None)
@given(matrices())
def test_no_candidate_would_make_a_smaller_error_than_int4s_scale(weight):
    groups = padded_to(weight).reshape(-1, 32, -(-weight.shape[1] // 32) * 32)
    wide = groups.astype(np.float64)
    size = np.abs(wide).max(axis=1)
    packed = unpack(pack(weight, "int4"), "int4", *weight.shape)
    error = (((padded_to(packed).reshape(wide.shape) - wide) / np.where(size, size, 1)[:, None]) ** 2).sum(axis=1)
    for bits in int4_candidates(groups):
        scale = from_bf16(bits).astype(np.float64)
        q = np.clip(np.rint(groups / np.where(scale, scale, 1)[:, None].astype(np.float32)), -8, 7)
        theirs = (((q * scale[:, None] - wide) / np.where(size, size, 1)[:, None]) ** 2).sum(axis=1)
        usable = (scale != 0) & (size > 1e-37)  # below, float32 itself has few digits left
        assert (error[usable] <= theirs[usable] * (1 + 1e-4) + 1e-9).all()


@settings(max_examples=25, deadline=None)
@given(matrices())
def test_fp32_and_bf16_keep_their_numbers_in_order(weight):
    wide = padded_to(weight)
    exact, rounded = pack(weight, "fp32"), pack(weight, "bf16")
    for t in range(wide.shape[1] // 32):
        assert np.array_equal(exact[t], wide[:, 32 * t:32 * t + 32])
        assert np.array_equal(rounded[t], to_bf16(wide[:, 32 * t:32 * t + 32]))
    assert np.array_equal(unpack(exact, "fp32", *weight.shape), weight)
    assert np.array_equal(unpack(rounded, "bf16", *weight.shape), torch.from_numpy(weight).bfloat16().float().numpy())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50))
def test_bfloat16_is_rounded_as_torch_rounds_it(values):
    ours = from_bf16(to_bf16(np.array(values, np.float32)))
    assert np.array_equal(ours, torch.tensor(values, dtype=torch.float32).bfloat16().float().numpy())


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_tiles_know_nothing_of_each_other(kind):
    weight = np.random.default_rng(5).standard_normal((70, 9001)).astype(np.float32)
    whole = pack(weight, kind)
    assert whole.shape == packed_shape(kind, 70, 9001) and whole.dtype == packed_type(kind)
    for t in (0, 100, 127, 128, 200, len(whole) - 1):
        assert np.array_equal(whole[t:t + 1], pack(weight[:, 32 * t:32 * t + 32], kind))
    assert np.array_equal(whole, pack(np.asfortranarray(weight), kind)), "whatever order the weight is in"


@pytest.mark.parametrize("kind, most", [("int8", 0.01), ("int4", 0.1), ("bf16", 0.003)])
def test_an_outlier_spoils_its_own_group_only(kind, most):
    weight = np.random.default_rng(6).standard_normal((768, 96)).astype(np.float32)
    plain = unpack(pack(weight, kind), kind, 768, 96)
    assert np.linalg.norm(plain - weight) <= most * np.linalg.norm(weight)
    weight[100, 40] = 600
    struck = unpack(pack(weight, kind), kind, 768, 96)
    changed = np.argwhere(struck != plain)
    assert (changed[:, 1] == 40).all() and (changed[:, 0] // 64 == 1).all()
    assert abs(struck[100, 40] - 600) <= most * 600


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(kind, wrong):
    weight = np.ones((3, 40), np.float32)
    weight[2, 39] = wrong
    with pytest.raises(ValueError):
        pack(weight, kind)
